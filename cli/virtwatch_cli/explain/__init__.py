"""Say by which rules a target is judged and why, how its alerts stand, what comes next, and what is asked for it.

Looks at the target for a few seconds, reads a recording (--samples), or asks the cluster (--cluster).
"""

import argparse
import sys
from pathlib import Path

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.duration import parse_duration
from virtwatch_cli import watch

_LEAST_LOOK_S = 1.0  # as often as a target is asked

KINDS = {
    "vm": TargetKind.VIRTUAL_MACHINE,
    "node": TargetKind.NODE,
    "network": TargetKind.NETWORK,
    "pool": TargetKind.STORAGE_POOL,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the target, policies, and where its values come from."""
    examples = "vm/web-1, vm/shop/web-1, node/n1, pool/images or network/default; in a cluster pool/n1/images"
    parser.add_argument("target", type=_target, metavar="KIND/NAME", help=f"as in {examples}")
    watch.add_policies(parser, required=False)
    parser.add_argument("--cluster", action="store_true", help="ask the agent of the target's node, by an Explanation")
    parser.add_argument("--kubeconfig", metavar="FILE", help="how to reach the cluster (default: $KUBECONFIG)")
    watch.add_connections(parser)
    samples = "recordings to read; - is standard input"
    parser.add_argument("--samples", action="extend", nargs="+", type=Path, metavar="FILE", help=samples)
    parser.add_argument(
        "--for", dest="seconds", type=_seconds, default=5.0, metavar="TIME", help="how long to look (default: 5s)"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanation; return 1 when the target or a policy is not there."""
    from virtwatch_cli.explain.page import as_json, as_text
    from virtwatch_cli.explain.sources import ExplainError, live, recorded

    kind, name = arguments.target
    if arguments.cluster:
        return _ask(kind, name, arguments)
    if not arguments.file:
        print("error: name the policies (-f FILE), or ask the cluster (--cluster)", file=sys.stderr)
        return 1
    try:
        if arguments.samples:
            answer = recorded(kind, name, arguments.file, arguments.samples)
        else:
            answer = live(
                kind,
                name,
                arguments.file,
                tuple(arguments.connect or ()),
                seconds=arguments.seconds,
                guest_agent=arguments.guest_agent,
            )
    except ExplainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(as_json(answer) if arguments.output == "json" else as_text(answer))
    return 0


def _ask(kind: TargetKind, name: str, arguments: argparse.Namespace) -> int:
    from virtwatch_cli.explain.cluster import AskError, as_json, as_text, ask

    try:
        answer = ask(kind, name, kubeconfig=arguments.kubeconfig)
    except AskError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(as_json(answer) if arguments.output == "json" else as_text(answer))
    return 0


def _target(text: str) -> tuple[TargetKind, str]:
    kind, _, name = text.partition("/")
    if kind not in KINDS or not name:
        raise argparse.ArgumentTypeError(f'must be a kind and a name, as in vm/web-1 or node/n1, not "{text}"')
    return KINDS[kind], name


def _seconds(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if seconds < _LEAST_LOOK_S:
        raise argparse.ArgumentTypeError(f'must be at least 1s, not "{text}": in less there is nothing to see')
    return seconds
