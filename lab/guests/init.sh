#!/bin/sh
# PID 1 of the lab's guest: load the drivers, then obey the host's requests on the second serial port, one at a time.
# A request is "NUMBER VERB [on|off]"; its answer is "NUMBER ok" or "NUMBER failed".
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o size=100% tmpfs /run
load() {
    while read -r module options; do
        insmod "/modules/$module.ko" $options || echo "insmod $module failed"
    done < "/modules/$1"
}
load order

peer=
for word in $(cat /proc/cmdline); do
    case $word in
        lab.address=*) ip addr add "${word#*=}" dev eth0; ip link set eth0 up ;;
        lab.second=*) ip addr add "${word#*=}" dev eth1; ip link set eth1 up ;;
        lab.peer=*) peer=${word#*=} ;;
    esac
done

off() {
    [ -f "/run/$1" ] || return 0
    kill -9 "-$(cat "/run/$1")" 2> /dev/null # It may have ended by itself.
    rm -f "/run/$1"
}

# A load runs in a process group of its own, so that off() ends all of it.
on() {
    off "$1"
    setsid sh -c "$2" > /dev/null 2>&1 &
    echo $! > "/run/$1"
}

# What ends the guest is done after its answer has left.
soon() {
    (sleep 0.2; eval "$1") &
}

# The port that QEMU gives a guest agent.
port() {
    for name in /sys/class/virtio-ports/*/name; do
        [ "$(cat "$name")" = org.qemu.guest_agent.0 ] && name=${name%/name} && echo "/dev/${name##*/}"
    done
}

mounted() {
    grep -q ' /data ' /proc/mounts
}

# A file system on the disk, half full: for a guest agent to tell of.
fill() {
    [ -d /sys/module/ext4 ] || load data
    mke2fs /dev/vda && mount -t ext4 /dev/vda /data && dd if=/dev/zero of=/data/full bs=1M count=8
}

obey() {
    case "$1 $2" in
        "ping ") ;;
        "memory off") off memory; rm -f /run/hog ;;
        "data off") ! mounted || umount /data ;;
        *" off") off "$1" ;;
        "cpu on") on cpu 'while :; do :; done' ;;
        "disk on") on disk 'while :; do
            dd if=/dev/zero of=/dev/vda bs=64k count=16 oflag=direct conv=notrunc
            dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct
            sleep 0.2
        done' ;;
        "net on") on net "while :; do ping -q -c 50 -i 0.02 -s 1400 $peer || sleep 1; done" ;;
        # All but 8 MiB of what is free. MemAvailable would count the initramfs, and the kernel would kill.
        "memory on") on memory '
            while [ $(grep MemFree /proc/meminfo | tr -dc 0-9) -gt 8192 ]; do
                dd if=/dev/zero bs=64k count=16 >> /run/hog
            done' ;;
        "fill ") on fill 'dd if=/dev/zero of=/dev/vda bs=256k oflag=direct' ;;
        # Opening arms the dog (i6300esb, see /modules/order for its patience); nobody feeds it.
        "watchdog ") echo > /dev/watchdog ;;
        "data on") mounted || fill > /dev/null 2>&1 ;;
        "agent on") on agent "exec qemu-ga --path=$(port) --statedir=/run" ;;
        # One that says it is there, and never answers a question.
        "silence on") on silence "exec silent $(port)" ;;
        "crash ") soon 'echo c > /proc/sysrq-trigger' ;;
        "reboot ") soon 'reboot -f' ;;
        "poweroff ") soon 'poweroff -f' ;;
        *) return 1 ;;
    esac
}

stty -F /dev/ttyS1 raw -echo
exec 3<> /dev/ttyS1
read -r uptime rest < /proc/uptime
echo "GUEST-READY after $uptime s"
while :; do
    read -r number verb argument <&3 || continue
    [ -n "$number" ] || continue
    if obey "$verb" "$argument"; then echo "$number ok" >&3; else echo "$number failed" >&3; fi
done
