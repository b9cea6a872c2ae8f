"""List the events that rules can fire on, with the attributes that `where` matches."""

import argparse
import json

from virtwatch_api.catalogue.events import EVENTS
from virtwatch_cli.table import format_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the output's format."""
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="format (default: table)")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalogue of events."""
    if arguments.output == "json":
        documents = [
            {
                "name": event.name,
                "otelName": event.otel_name,
                "severity": event.severity.value,
                "attributes": list(event.attributes),
                "implemented": event.implemented,
                "description": event.description,
            }
            for event in EVENTS
        ]
        print(json.dumps(documents, indent=2))
        return 0
    rows = [
        (
            event.name,
            event.severity.value,
            ", ".join(event.attributes),
            "yes" if event.implemented else "not yet",
            event.description,
        )
        for event in EVENTS
    ]
    print(format_table(("EVENT", "SEVERITY", "ATTRIBUTES", "EMITTED", "DESCRIPTION"), rows))
    return 0
