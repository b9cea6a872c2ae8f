"""Watch the VMs of this host by policies in files, without Kubernetes.

Shows what is watched, and each alert as it fires, changes and resolves. An edited policy file is read again. Where
OTEL_EXPORTER_OTLP_ENDPOINT is set, metrics, events and traces go there. Ctrl-C ends it.
"""

import argparse
from pathlib import Path
from urllib.parse import unquote

from virtwatch_api.duration import parse_duration
from virtwatch_cli.watch.uris import unusable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take policies, connections, the format and the state folder."""
    add_policies(parser)
    add_connections(parser)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="where alerts outlive a restart (default: they do not)"
    )
    parser.add_argument(
        "--values",
        dest="values_every",
        type=_every,
        default=60.0,
        metavar="TIME",
        help="how often current values are shown beside their bounds; 0s for never (default: 1m)",
    )


def add_policies(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Take policy files."""
    parser.add_argument(
        "-f",
        "--file",
        action="extend",
        nargs="+",
        type=Path,
        required=required,
        metavar="PATH",
        help="policy files, or folders of them",
    )


def add_connections(parser: argparse.ArgumentParser) -> None:
    """Take libvirt URIs."""
    parser.add_argument(
        "--connect",
        action="append",
        type=uri,
        metavar="URI",
        help="a libvirt URI, as in test:///default; may be given more than once"
        " (default: this host's libvirt, and on a KubeVirt node that of every virt-launcher pod)",
    )
    add_guest_agent(parser)


def add_guest_agent(parser: argparse.ArgumentParser) -> None:
    """Take whether guests are asked."""
    parser.add_argument(
        "--guest-agent",
        action="store_true",
        help="ask guest agents for file systems and load, by connections of their own that may change VMs"
        " (default: every connection is read-only)",
    )


def _every(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def uri(text: str) -> str:
    """Read a libvirt URI."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must be a libvirt URI, as in test:///default")
    if problem := unusable(text):
        raise argparse.ArgumentTypeError(problem)
    if text.startswith("test:///") and text != "test:///default":
        file = Path(unquote(text.removeprefix("test://").partition("?")[0]))
        # libvirt's XML parser would say so at each attempt, straight to the terminal.
        if not file.is_file():
            raise argparse.ArgumentTypeError(f"{file} is no file; test:///default needs none")
    return text


def run(arguments: argparse.Namespace) -> int:
    """Watch until a signal ends it."""
    from virtwatch_cli.watch.session import watch

    return watch(
        files=arguments.file,
        uris=tuple(arguments.connect or ()),
        as_json=arguments.output == "json",
        state=arguments.state,
        values_every=arguments.values_every,
        guest_agent=arguments.guest_agent,
    )
