"""List the events that rules can fire on, with the attributes that `where` matches; or say all about one of them."""

import argparse
import json
import sys

from virtwatch_api.catalogue.events import EVENT, EVENTS, EventType
from virtwatch_api.names import did_you_mean, shown
from virtwatch_cli.table import format_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a name and the output's format."""
    parser.add_argument("name", nargs="?", metavar="EVENT", help="say all about this one, with its attributes' values")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="format (default: table)")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalogue of events, or one of them."""
    if arguments.name is not None and arguments.name not in EVENT:
        print(f'error: unknown event "{shown(arguments.name)}"{did_you_mean(arguments.name, EVENT)}', file=sys.stderr)
        return 1
    chosen = [EVENT[arguments.name]] if arguments.name is not None else list(EVENTS)
    if arguments.output == "json":
        print(json.dumps([_document(event) for event in chosen], indent=2))
    elif arguments.name is not None:
        print("\n".join(f"{label + ':':20}{text}" for label, text in _details(chosen[0])))
    else:
        rows = [
            (event.name, event.severity.value, ", ".join(event.attributes), _emitted(event), event.description)
            for event in chosen
        ]
        print(format_table(("EVENT", "SEVERITY", "ATTRIBUTES", "EMITTED", "DESCRIPTION"), rows))
    return 0


def _details(event: EventType) -> list[tuple[str, str]]:
    return [
        ("Event", event.name),
        ("Meaning", event.description),
        ("Severity", event.severity.value),
        ("Seen by", ", ".join(event.targets)),
        ("Emitted", _emitted(event)),
        *((f"where {item.name}", ", ".join(item.values) or "any text") for item in event.where),
    ]


def _document(event: EventType) -> dict[str, object]:
    return {
        "name": event.name,
        "otelName": event.otel_name,
        "severity": event.severity.value,
        "targets": [target.value for target in event.targets],
        "attributes": list(event.attributes),
        "values": {item.name: list(item.values) for item in event.where if item.values},
        "implemented": event.implemented,
        "description": event.description,
    }


def _emitted(event: EventType) -> str:
    return "yes" if event.implemented else "not yet"
