"""python -m lab SUBCOMMAND: build what is cached, show the demo, take it down."""

import argparse
import sys

from lab.build import build
from lab.demo.demo import demo
from lab.guest import guest
from lab.keep import end_kept
from tools.entry import enter


def down() -> None:
    """End the runs that this checkout kept, and leftovers of killed ones."""
    if not end_kept():
        print("Nothing of the lab is up.")


def main() -> int:
    """Run the subcommand that the command line names."""
    arguments = vars(_parser().parse_args())
    action = arguments.pop("action")
    return enter(lambda: action(**arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description="The lab: virtwatch's real parts on one machine."
    )
    subcommands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")

    def add(name: str, action: object, text: str) -> argparse.ArgumentParser:
        subcommand = subcommands.add_parser(name, help=text, description=text)
        subcommand.set_defaults(action=action)
        return subcommand

    make = add("build", build, "build everything that the lab caches")
    make.add_argument("--light", action="store_true", help="without what only nodes and KubeVirt need")
    add("down", down, "end the runs that this checkout kept, and leftovers of killed ones")
    show = add("demo", demo, "show virtwatch at work: a policy, alerts, a trace, their end")
    show.add_argument("--keep", action="store_true", help="leave everything running and say how to play with it")
    show.add_argument("--kubevirt", action="store_true", help="on two nodes with KubeVirt, in 4 minutes")
    ask = add("guest", guest, "load, break or heal a guest of a kept demo: web-1 cpu on")
    ask.add_argument("name", metavar="NAME")
    ask.add_argument("request", metavar="REQUEST", nargs="*", help="cpu on, fill, free, resume, ...; none: its state")
    return parser


if __name__ == "__main__":
    sys.exit(main())
