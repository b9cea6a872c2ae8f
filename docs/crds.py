"""Assembles the CRDs of both kinds of policy: crds/base, one fragment per kind of rule, and the catalogue's words.

And the admission policy that warns of what no engine judges yet.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from virtwatch_api.admission import warning_policy
from virtwatch_api.catalogue.entries import WATCHED, TargetKind
from virtwatch_api.rule_kinds.registry import RULE_KINDS, rules_schema
from virtwatch_api.target_schema import glob_rules, instruments_field, interval_field, selector_field, share_field

Schema = dict[str, Any]
_HEADER = (
    "# Written by `make docs` from crds/base, api/virtwatch_api/rule_kinds and the catalogue; edit those instead.\n"
)


class _Dumper(yaml.SafeDumper):
    """Write every part where it stands, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def policy_crds(base: Path) -> Mapping[str, str]:
    """Return the CRDs of MonitorPolicy and ClusterMonitorPolicy by the name of their file."""
    policy = yaml.load((base / "policy.yaml").read_text(), Loader=yaml.CSafeLoader)
    cluster = _merged(policy, yaml.load((base / "clusterpolicy.yaml").read_text(), Loader=yaml.CSafeLoader))
    return {
        "monitorpolicies.yaml": _written(policy, [TargetKind.VIRTUAL_MACHINE]),
        "clustermonitorpolicies.yaml": _written(cluster, list(WATCHED)),
    }


def admission_warning() -> str:
    """Return the ValidatingAdmissionPolicy that warns of what this version cannot judge."""
    header = (
        "# Written by `make docs` from api/virtwatch_api/support.py; edit that instead. Warns, and refuses nothing.\n"
    )
    return header + yaml.dump(warning_policy(), Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True)


def _written(crd: Schema, targets: list[TargetKind]) -> str:
    parts: Mapping[str, Callable[[str], Any]] = {
        "rules": lambda _: rules_schema(targets),
        "belongs": lambda _: [rule for kind in RULE_KINDS for rule in kind.validations()],
        "glob": lambda _: glob_rules(cluster=False),
        "anyGlob": lambda _: glob_rules(cluster=True),
        "selector": selector_field,
        "interval": interval_field,
        "share": share_field,
        "instruments": instruments_field,
    }

    def filled(node: Any) -> Any:
        if isinstance(node, dict) and "part" in node:
            return parts[node["part"]](node.get("description", ""))
        if isinstance(node, dict):
            return {key: filled(value) for key, value in node.items()}
        return [filled(value) for value in node] if isinstance(node, list) else node

    return _HEADER + yaml.dump(filled(crd), Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True)


def _merged(base: Any, changes: Any) -> Any:
    """Return a document with changes: mappings are merged, lists of mappings item by item, all else is replaced."""
    if isinstance(base, dict) and isinstance(changes, dict):
        if "part" in changes:
            return changes
        same = {key: _merged(value, changes[key]) if key in changes else value for key, value in base.items()}
        return same | {key: value for key, value in changes.items() if key not in base}
    if isinstance(base, list) and isinstance(changes, list) and all(isinstance(item, dict) for item in changes):
        return [_merged(one, other) for one, other in zip(base, changes, strict=True)]
    return changes
