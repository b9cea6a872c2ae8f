#!/bin/sh
# A guest agent that hangs: on the port $1 it says that it is there, as qemu-ga does, and answers nothing else.
exec 3<> "$1"
stty -F "$1" raw -echo 2> /dev/null
while :; do
    # Nothing can be read until libvirt has connected to the other end of the port.
    read -r asked <&3 || { sleep 0.1; continue; }
    case $asked in
        *guest-sync*) id=${asked##*\"id\":} && echo "{\"return\":${id%%\}*}}" >&3 ;;
    esac
done
