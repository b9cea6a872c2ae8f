"""List the signals that rules can judge, with unit and source."""

import argparse
import json

from virtwatch_api.catalogue.signals import SIGNALS, Signal
from virtwatch_cli.table import format_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the output's format."""
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="format (default: table)")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalogue of signals."""
    if arguments.output == "json":
        print(json.dumps([_document(signal) for signal in SIGNALS], indent=2))
        return 0
    rows = [
        (
            signal.name,
            signal.unit,
            signal.target.value,
            "yes" if signal.per_device else "",
            _source(signal),
            signal.description,
        )
        for signal in SIGNALS
    ]
    print(format_table(("SIGNAL", "UNIT", "TARGET", "PER DEVICE", "SOURCE", "DESCRIPTION"), rows))
    return 0


def _document(signal: Signal) -> dict[str, object]:
    return {
        "name": signal.name,
        "unit": signal.unit,
        "target": signal.target.value,
        "perDevice": signal.per_device,
        "sources": sorted(source.value for source in signal.sources),
        "implemented": signal.formula is not None,
        "description": signal.description,
    }


def _source(signal: Signal) -> str:
    return ", ".join(sorted(source.value for source in signal.sources)) or "not yet"
