"""How objects, rules and labels may be named, and how text from a user is shown."""

import difflib
import re
from collections.abc import Iterable

NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
# A VirtualMachineInstance has a Kubernetes name; domains, networks and pools of a plain libvirt host have any name.
GLOB = re.compile(r"^[-a-z0-9.*?!\[\]]+$")
ANY_GLOB = re.compile(r"^[^/\x00-\x1f\x7f]+$")
# Of a label in Kubernetes: an optional prefix, which is a DNS name, and a name; and the value.
LABEL_KEY = re.compile(
    r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
MAX_LABEL_KEY = 317  # 253 of the prefix, a slash and 63
ROUTING_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_SHOWN = 60  # characters


def printable(text: str) -> str:
    """Return text with what would move a terminal's cursor, or hide what follows, escaped."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shown(text: str, *, at_most: int = _SHOWN) -> str:
    """Return a user's text as it may stand in a sentence: cut, and printable."""
    return printable(text if len(text) <= at_most else text[:at_most] + "…")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the known name that is most like this one, else nothing."""
    close = difflib.get_close_matches(name[:64], list(known), n=1, cutoff=0.75)
    return f'; did you mean "{close[0]}"?' if close else ""


def rule_name_problem(name: str) -> str | None:
    """Say what is wrong with a rule's name."""
    if NAME.fullmatch(name):
        return None
    return (
        "must be lower case letters, digits and dashes, with a letter or digit at both ends, "
        f'as in "cpu-starved", not "{shown(name)}"'
    )


def object_name_problem(name: str) -> str | None:
    """Say what is wrong with an object's name."""
    if all(NAME.fullmatch(part) for part in name.split(".")):
        return None
    return (
        "must be lower case letters, digits, dashes and dots, with a letter or digit at both ends of each part, "
        f'as in "web-tier", not "{shown(name)}"'
    )


def namespace_problem(name: str) -> str | None:
    """Say what is wrong with a namespace's name."""
    if NAME.fullmatch(name):
        return None
    return (
        "must be lower case letters, digits and dashes, with a letter or digit at both ends, "
        f'as in "shop", not "{shown(name)}"'
    )


def glob_problem(glob: str) -> str | None:
    """Say what is wrong with a glob on the names of VMs in Kubernetes."""
    if GLOB.fullmatch(glob):
        return None
    return (
        "must be a glob on a VM's name in Kubernetes: lower case letters, digits, dashes, dots and *, ?, [ ]; "
        f'not "{shown(glob)}". A ClusterMonitorPolicy also takes other names, such as "Win10-Office"'
    )


def any_glob_problem(glob: str) -> str | None:
    """Say what is wrong with a glob on any name."""
    return None if ANY_GLOB.fullmatch(glob) else f'must be a glob on a name, without slashes; not "{shown(glob)}"'


def label_key_problem(key: str) -> str | None:
    """Say what is wrong with the key of a label in Kubernetes."""
    if len(key) <= MAX_LABEL_KEY and len(key.rpartition("/")[0]) <= 253 and LABEL_KEY.fullmatch(key):
        return None
    return (
        "must be a label's key: at most 63 letters, digits, dashes, dots and underscores, with a letter or digit at "
        f'both ends, after an optional DNS name and a slash, as in "app.kubernetes.io/name"; not "{shown(key)}"'
    )


def label_value_problem(value: str) -> str | None:
    """Say what is wrong with the value of a label in Kubernetes."""
    if LABEL_VALUE.fullmatch(value):
        return None
    return (
        "must be a label's value: at most 63 letters, digits, dashes, dots and underscores, with a letter or digit at "
        f'both ends, or empty; not "{shown(value)}"'
    )
