"""The command reads YAML as kubectl itself does."""

import json
import random

import pytest

from lab.controlplane.cluster import ControlPlane
from virtwatch_cli.documents import read_documents

SCALARS = (
    *(
        "on",
        "off",
        "y",
        "N",
        "yes",
        "~",
        "null",
        "Null",
        "True",
        "tRue",
        "<<",
        "=",
        "+",
        "-a",
        "._",
        "1,000",
        "5m",
        "90%",
    ),
    *("0", "00", "-0", "+0", "0x1F", "0X1f", "0x", "0x_1", "0b11", "0b2", "0o17", "0O17", "017", "08", "019", "-0x1"),
    *("1_000", "1__0", "_1", "1_", "1e3", "1E3", "1.0", "5.", "+.5", ".5", "-.5", ".5e3", "12e", "1e400", "1e-400"),
    *("1:30", "1:30:00", "2026-11-23", "2026-11-23T10:00:00Z", "1.2.3", "\u0661", "Infinity", "NaN", "0x1p3"),
    *("9223372036854775807", "-9223372036854775808", "9" * 40, "1.5e300", "1e21", "0x" + "f" * 5000),
    *(
        "!!str 5",
        "!!str on",
        "!!int 5",
        "!!float 1e2",
        "!!bool on",
        "!!null ~",
        "'5'",
        '"on"',
        "!!timestamp 2026-01-01",
    ),
)
ALPHABET = "0123456789+-._exXoObB:ynoffTRUEtrue"


def _document(values: list[str]) -> str:
    listed = "".join(f"- {value}\n" for value in values)
    return f"apiVersion: example.com/v1\nkind: Scalars\nmetadata: {{name: s}}\nspec:\n{listed}"


@pytest.mark.parametrize("seed", range(3))
def test_each_scalar_is_the_same_value_to_kubectl(kinds: ControlPlane, seed: int):
    random.seed(seed)
    drawn = ["".join(random.choices(ALPHABET, k=random.randint(1, 6))) for _ in range(200)]
    values = [value for value in (*SCALARS, *drawn) if not value.startswith("0b-") and _readable(value)]

    written = kinds.kubectl("annotate", "--local", "-f", "-", "a=b", "-o", "json", input=_document(values)).stdout
    [document] = read_documents(_document(values))

    theirs, ours = json.loads(written)["spec"], document.value["spec"]
    assert [(value, a) for value, a, b in zip(values, ours, theirs, strict=True) if not _same(a, b)] == []


def _readable(value: str) -> bool:
    try:
        [document] = read_documents(_document([value]))
    except ValueError:
        return False
    return not document.problems


def _same(ours: object, theirs: object) -> bool:
    # kubectl writes a float beyond 2**63 as JSON without a point.
    large = isinstance(ours, float) and abs(ours) >= 2**63
    return ours == theirs and (large or type(ours) is type(theirs))
