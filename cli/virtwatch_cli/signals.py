"""List the signals that rules can judge, with unit and source; or say all about one of them.

With --connect or --now, print their values now, of every VM, storage pool and network that a libvirt shows, and of this
host; where a target cannot give a signal, why.
"""

import argparse
import json
import sys

from virtwatch_api.bounds import scale
from virtwatch_api.catalogue.absence import NO_VALUE, reasons
from virtwatch_api.catalogue.readings import READING
from virtwatch_api.catalogue.signals import SIGNAL, SIGNALS, Signal
from virtwatch_api.names import did_you_mean, shown
from virtwatch_cli.table import format_table
from virtwatch_cli.watch import add_guest_agent, uri

_LOOK_S = 3.5  # two looks of each source, and what comes late


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a name and the output's format."""
    parser.add_argument("name", nargs="?", metavar="SIGNAL", help="say all about this one")
    parser.add_argument(
        "--connect",
        action="append",
        type=uri,
        metavar="URI",
        help="print values now, of this libvirt, as in test:///default; may be given more than once",
    )
    parser.add_argument("--now", action="store_true", help="print values now, of this host's libvirt")
    add_guest_agent(parser)
    parser.add_argument(
        "--seconds", type=_seconds, default=_LOOK_S, metavar="S", help=f"how long to look (default: {_LOOK_S:g})"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="format (default: table)")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalogue of signals, or one of them."""
    if arguments.name is not None and arguments.name not in SIGNAL:
        print(f'error: unknown signal "{shown(arguments.name)}"{did_you_mean(arguments.name, SIGNAL)}', file=sys.stderr)
        return 1
    if arguments.connect or arguments.now:
        return _now(arguments)
    chosen = [SIGNAL[arguments.name]] if arguments.name is not None else list(SIGNALS)
    if arguments.output == "json":
        print(json.dumps([_document(signal) for signal in chosen], indent=2))
    elif arguments.name is not None:
        print("\n".join(f"{label + ':':20}{text}" for label, text in _details(chosen[0]) if text))
    else:
        rows = [
            (
                signal.name,
                signal.unit,
                signal.target.value,
                "yes" if signal.per_device else "",
                _source(signal),
                signal.description,
            )
            for signal in chosen
        ]
        print(format_table(("SIGNAL", "UNIT", "TARGET", "PER DEVICE", "SOURCE", "DESCRIPTION"), rows))
    return 0


def _now(arguments: argparse.Namespace) -> int:
    from virtwatch_cli.signals_now import show

    return show(
        uris=tuple(arguments.connect or ()),
        name=arguments.name,
        seconds=arguments.seconds,
        as_json=arguments.output == "json",
        guest_agent=arguments.guest_agent,
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= 3600.0:
        raise argparse.ArgumentTypeError(f'must be seconds from 1 to 3600, not "{text}"')
    return seconds


def _details(signal: Signal) -> list[tuple[str, str]]:
    collected = "; ".join(source.cost for source in sorted(signal.sources)) or "not in this version"
    return [
        ("Signal", signal.name),
        ("Meaning", signal.description),
        ("Target", f"{signal.target}{', each device by itself' if signal.per_device else ''}"),
        ("Unit", signal.unit),
        ("Range", scale(signal.name).described),
        ("Bounds", f"for example {scale(signal.name).example}"),
        ("No value if", "; or ".join(sorted(reasons(signal.name) - {NO_VALUE})) if signal.formula else ""),
        ("Collected", collected),
        ("Exported", _exported(signal)),
        ("A bad value means", signal.bad_value),
        ("Limits", signal.limits),
        ("What to do", signal.remedy),
    ]


def _exported(signal: Signal) -> str:
    """Say under which OTel name a signal, or what it is derived from, reaches a backend."""
    if signal.derived:
        return f"{signal.metric}, a {signal.instrument}"
    return " and ".join(sorted({f"{READING[key].metric}, a {READING[key].instrument}" for key in signal.readings}))


def _document(signal: Signal) -> dict[str, object]:
    return {
        "name": signal.name,
        "unit": signal.unit,
        "target": signal.target.value,
        "perDevice": signal.per_device,
        "least": signal.range.least,
        "greatest": signal.range.greatest if signal.range.share else None,
        "sources": sorted(source.value for source in signal.sources),
        "implemented": signal.formula is not None,
        "description": signal.description,
        "badValue": signal.bad_value,
        "limits": signal.limits,
        "remedy": signal.remedy,
    }


def _source(signal: Signal) -> str:
    return ", ".join(sorted(source.value for source in signal.sources)) or "not yet"
