"""python -m tools SUBCOMMAND: build what a release consists of, and measure what it promises."""

import argparse
import sys
from pathlib import Path

from tools.entry import enter
from tools.errors import ToolError


def images(*, registry: str | None) -> None:
    """Build the images; each subcommand imports what it alone needs."""
    from tools.images.release import images as build

    build(registry=registry)


def dist(*, registry: str | None) -> None:
    """Write the one file to install from."""
    from tools.dist import dist as write

    write(registry=registry)


def bench(*, groups: list[str], from_nothing: bool) -> None:
    """Print figures."""
    from tools.bench.bench import GROUPS
    from tools.bench.bench import bench as measure

    if unknown := [name for name in groups if name not in GROUPS]:
        raise ToolError(f"no group of figures is called {unknown[0]!r}; there are {', '.join(GROUPS)}")
    measure(only=groups, from_nothing=from_nothing)


def anomaly(*, labelled: Path | None, machines: int, days: int) -> None:
    """Print how well anomalies are found."""
    from tools.anomaly.evaluate import evaluate

    evaluate(folder=labelled, machines=machines, days=days)


def main() -> int:
    """Run the subcommand that the command line names."""
    arguments = vars(_parser().parse_args())
    action = arguments.pop("action")
    return enter(lambda: action(**arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools", description="What builds and releases virtwatch.")
    subcommands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    for action, text in (
        (images, "build the agent's and the operator's image with docker, podman or buildah"),
        (dist, "write dist/virtwatch.yaml, one file to install from"),
    ):
        subcommand = subcommands.add_parser(action.__name__, help=text, description=text)
        subcommand.add_argument("--registry", metavar="NAME", help="where the cluster pulls the images from")
        subcommand.set_defaults(action=action)
    text = "measure what virtwatch promises: one JSON line per figure"
    measure = subcommands.add_parser("bench", help=text, description=text)
    measure.add_argument("groups", nargs="*", metavar="GROUP", help="of figures, as in judging edits (default: all)")
    measure.add_argument("--from-nothing", action="store_true", help="first runs alone, without any cache: 45 minutes")
    measure.set_defaults(action=bench)
    text = "measure how well the anomaly engine finds faults, and its false alarms: one JSON line per figure"
    evaluate = subcommands.add_parser("anomaly", help=text, description=text)
    evaluate.add_argument("--labelled", type=Path, metavar="FOLDER", help="a checkout of numenta/NAB")
    evaluate.add_argument("--machines", type=int, default=8, help="synthetic VMs (default: 8)")
    evaluate.add_argument("--days", type=int, default=28, help="of each VM (default: 28)")
    evaluate.set_defaults(action=anomaly)
    return parser


if __name__ == "__main__":
    sys.exit(main())
