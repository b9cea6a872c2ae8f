"""Who took what a target lacks, as alerts say it: by name where the policy may see it, else what it is alone."""

import re

ANOTHER_VM = "another VM of this node"
OTHER_PROCESSES = "other processes of this node"
MAX_CULPRIT = 253  # characters

_MOST_NAME = 127
_STRANGE = re.compile(r"[^A-Za-z0-9._/:@+-]")
_NAME = r"[A-Za-z0-9._:@+-]+(?:/[A-Za-z0-9._:@+-]+)*"
_PART = re.compile(
    rf"(?:VM (?P<vm>{_NAME})|process (?P<process>{_NAME})|{ANOTHER_VM}|{OTHER_PROCESSES}) \(\d{{1,3}}%\)"
)


def named_vm(name: str) -> str:
    """Name a VM: "shop/db-1", or its domain where only libvirt knows it."""
    return f"VM {_plain(name)}"


def named_process(name: str) -> str:
    """Name a process of the host by what the kernel calls it."""
    return f"process {_plain(name)}"


def write_culprit(shares: list[tuple[str, float]]) -> str:
    """Join who had which share, 0 to 1, the largest first; as many as there is room for."""
    written = ""
    for who, share in shares:
        longer = f"{written}, {who} ({share:.0%})" if written else f"{who} ({share:.0%})"
        if len(longer) > MAX_CULPRIT:
            break
        written = longer
    return written


def may_say(culprit: str, *, namespace: str | None) -> bool:
    """Return whether a culprit is written as an agent writes it, and names nothing that a policy may not see.

    `namespace` is the policy's: one without, an administrator's, may see all; another sees the VMs of its own.
    """
    for part in culprit.split(", "):
        match = _PART.fullmatch(part)
        if match is None:
            return False
        if namespace is None:
            continue
        if match["process"] or (match["vm"] and not match["vm"].startswith(f"{namespace}/")):
            return False
    return len(culprit) <= MAX_CULPRIT


def _plain(name: str) -> str:
    return _STRANGE.sub("_", name).strip("/")[:_MOST_NAME].rstrip("/") or "_"
