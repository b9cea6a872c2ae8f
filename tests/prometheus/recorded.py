"""Prometheus' answers to a seed's cases, recorded: `python -m tests.prometheus.recorded` records them anew."""

import gzip
import json
import tempfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from tests.prometheus.cases import Case, cases
from tests.prometheus.promql import ask, rules, series

SEED, COUNT = 1, 2000
FILE = Path(__file__).parent.parent / "data" / "prometheus_answers.json.gz"


@dataclass(frozen=True)
class Recorded:
    """Hold the severity at each instant by case, and what the cases were then."""

    prometheus: str  # its module's version
    digest: str
    answers: dict[int, str]


def digest(asked: list[Case]) -> str:
    """Return what changes when Prometheus would be asked something else."""
    return sha256(json.dumps([(rules(case), series(case)) for case in asked]).encode()).hexdigest()


def read() -> Recorded:
    """Return what was recorded."""
    document = json.loads(gzip.decompress(FILE.read_bytes()))
    return Recorded(**{**document, "answers": {int(key): value for key, value in document["answers"].items()}})


def record() -> None:
    """Ask Prometheus, and write its answers."""
    from lab.prometheus.binaries import PROMETHEUS, promtool

    asked = cases(SEED, COUNT)
    with tempfile.TemporaryDirectory() as folder:
        recorded = Recorded(PROMETHEUS.version, digest(asked), ask(promtool(), asked, Path(folder)))
    FILE.write_bytes(gzip.compress(json.dumps(asdict(recorded)).encode(), mtime=0))


if __name__ == "__main__":
    record()
