"""Which libvirt URIs can never work, and how they may have been meant. Pure."""

import difflib
from collections.abc import Sequence
from urllib.parse import urlsplit

from virtwatch_api.names import shown

_DRIVERS = (
    *("bhyve", "ch", "esx", "hyperv", "lxc", "openvz", "parallels", "qemu", "test", "vbox"),
    *("vmwarefusion", "vmwareplayer", "vmwarews", "vpx", "vz", "xen"),
)
_TRANSPORTS = ("ext", "libssh", "libssh2", "ssh", "tcp", "tls", "unix")
_QEMU = ("/embed", "/session", "/system")
_EXAMPLES = "qemu:///system, qemu+ssh://HOST/system or test:///default"


def unusable(uri: str) -> str:
    """Say why no libvirt can ever be reached by a URI; empty where one may be."""
    scheme, separator, _ = uri.partition("://")
    if not separator:
        return f'"{shown(uri)}" names no driver of libvirt; write a URI such as {_EXAMPLES}'
    driver, _, transport = scheme.lower().partition("+")
    if driver not in _DRIVERS:
        guess = _guess(driver, _DRIVERS, f"write a URI such as {_EXAMPLES}")
        return f'"{shown(uri)}": libvirt has no driver "{shown(driver)}"{guess}'
    if transport and transport not in _TRANSPORTS:
        others = f"those are {', '.join(_TRANSPORTS)}"
        return f'"{shown(uri)}": libvirt has no transport "{shown(transport)}"{_guess(transport, _TRANSPORTS, others)}'
    try:
        path = urlsplit(uri).path
    except ValueError as error:
        return f'"{shown(uri)}" is no URI: {error}'
    if driver == "qemu" and path not in _QEMU:
        return f'"{shown(uri)}": QEMU\'s libvirt has no "{shown(path)}"{_guess(path, _QEMU, "write qemu:///system")}'
    return ""


def _guess(word: str, known: Sequence[str], otherwise: str) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; {otherwise}"
