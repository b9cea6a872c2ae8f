"""Keep the alerts of a VM, node, namespace or policy from being told for a while."""

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import Any

from virtwatch_api.duration import parse_duration
from virtwatch_api.silence import REASON, UNTIL

_MANAGER = "virtwatch-command"
# What may be silenced: (apiVersion, kind, plural) of the objects that carry the annotation.
_KINDS: dict[str, tuple[tuple[str, str, str], ...]] = {
    # KubeVirt hands a VM's annotation to its instance only at a start, so both get it.
    "vm": (
        ("kubevirt.io/v1", "VirtualMachine", "virtualmachines"),
        ("kubevirt.io/v1", "VirtualMachineInstance", "virtualmachineinstances"),
    ),
    "node": (("v1", "Node", "nodes"),),
    "namespace": (("v1", "Namespace", "namespaces"),),
    "policy": (("virtwatch.io/v1alpha1", "MonitorPolicy", "monitorpolicies"),),
    "clusterpolicy": (("virtwatch.io/v1alpha1", "ClusterMonitorPolicy", "clustermonitorpolicies"),),
}
_NAMESPACED = ("vm", "policy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take what is silenced, for how long and why."""
    parser.add_argument("target", metavar="KIND/NAME", help=f"what is silenced: {', '.join(_KINDS)} and a name")
    parser.add_argument("duration", metavar="DURATION", nargs="?", help='for how long, for example "2h"')
    parser.add_argument("--end", action="store_true", help="end the silence now")
    parser.add_argument("--reason", default="", help="why, for whoever looks")
    parser.add_argument("-n", "--namespace", default="default", help="the namespace (default: default)")
    parser.add_argument("--kubeconfig", metavar="FILE", help="how to reach the cluster (default: $KUBECONFIG)")


def run(arguments: argparse.Namespace) -> int:
    """Write the annotation; return 0 where something carries it now."""
    kind, _, name = arguments.target.partition("/")
    if kind not in _KINDS or not name:
        return _fail(f'"{arguments.target}" is no target; write for example vm/web-1, known are {", ".join(_KINDS)}')
    if bool(arguments.duration) == bool(arguments.end):
        return _fail("give either a duration or --end")
    try:
        seconds = parse_duration(arguments.duration) if arguments.duration else 0.0
    except ValueError as error:
        return _fail(str(error))
    if arguments.duration and not seconds:
        return _fail(f"a silence of {arguments.duration} silences nothing; write for example 2h, or --end to end one")
    until = datetime.fromtimestamp(time.time() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _annotate(arguments, kind, name, "" if arguments.end else until)


def _annotate(arguments: argparse.Namespace, kind: str, name: str, until: str) -> int:
    from virtwatch_kube.client import KubeClient
    from virtwatch_kube.errors import KubeError, NotFound
    from virtwatch_kube.paths import resource

    namespace = arguments.namespace if kind in _NAMESPACED else None
    shown = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
    annotations = {UNTIL: until, **({REASON: arguments.reason} if arguments.reason else {})} if until else {}
    written = 0
    try:
        client = KubeClient.from_environment(arguments.kubeconfig)
        for api_version, of_kind, plural in _KINDS[kind]:
            path = resource(api_version, plural, namespace=namespace, name=name)
            try:
                client.get(path)  # applying would make one that is not there
            except NotFound:
                continue
            metadata: dict[str, Any] = {"name": name, "annotations": annotations}
            metadata |= {"namespace": namespace} if namespace else {}
            body = {"apiVersion": api_version, "kind": of_kind, "metadata": metadata}
            client.apply(path, body, manager=_MANAGER)
            written += 1
    except KubeError as error:
        return _fail(str(error))
    if not written:
        return _fail(f"{shown} does not exist")
    print(f"{shown}: {f'silenced until {until}' if until else 'not silenced any more'}")
    return 0


def _fail(said: str) -> int:
    print(f"error: {said}", file=sys.stderr)
    return 1
