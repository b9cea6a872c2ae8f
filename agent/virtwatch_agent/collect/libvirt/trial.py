"""Whether a URI of libvirt's test driver can be opened: it is read once, so one that fails fails for ever."""

import libvirt

from virtwatch_agent.collect.libvirt.event_loop import run_event_loop


def cannot_open(uri: str) -> str:
    """Say why a URI of the test driver cannot be opened; empty where it can, and for other drivers, which may come."""
    if not uri.startswith("test:///"):
        return ""
    run_event_loop()  # and with it what takes libvirt's own messages, which go to the terminal otherwise
    try:
        libvirt.openReadOnly(uri).close()
    except libvirt.libvirtError as error:
        return f"{uri} cannot be opened: {str(error).splitlines()[0]}"
    return ""
