"""Good policies and what one change makes of them, as tests/data/wrong_policies.yaml tells."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

# Each process that collects tests reads it: what is written in C takes a tenth of the time.
_DATA = yaml.load((Path(__file__).parent / "data" / "wrong_policies.yaml").read_text(), Loader=yaml.CSafeLoader)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class WrongPolicy:
    """A policy with one thing wrong, and what its author reads: from the API server, and from the parser."""

    name: str
    policy: Json
    server: str
    parser: str

    def __str__(self) -> str:
        return self.name


def good_policy(kind: str) -> Json:
    """Return a policy in which every field is set that a policy of this kind can have, but alternatives."""
    policy: Json = copy.deepcopy(_DATA["good"][kind])
    return policy


def changed(policy: Json, change: Mapping[str, Any]) -> Json:
    """Return a copy with values set by path, as in `spec.rules[0].threshold`; None removes."""
    document = copy.deepcopy(policy)
    for path, value in change.items():
        *way, last = [name or int(index) for name, index in _STEP.findall(path)]
        place: Any = document
        for step in way:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = copy.deepcopy(value)
    return document


WRONG_POLICIES = [
    WrongPolicy(
        case["name"],
        changed(good_policy(case.get("kind", "MonitorPolicy")), case["change"]),
        case["server"],
        case["parser"],
    )
    for case in _DATA["wrong"]
]
