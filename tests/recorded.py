"""What a real program answered: `make test` reads it from a file, `make soak` asks anew and compares."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.soak import SOAKING

DATA = Path(__file__).parent / "data"


def recorded(name: str, ask: Callable[[], Any]) -> Any:
    """Return what the file tests/data/NAME holds: what `ask()`, something that JSON can say, returned once.

    Where there is no such file it is written. Under `make soak` the answer must still be the same.
    """
    file = DATA / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(ask(), indent=None, separators=(",", ":")) + "\n")
    answers = json.loads(file.read_text())
    if SOAKING:
        assert json.loads(json.dumps(ask())) == answers, f"{file} holds other answers: delete it to record these"
    return answers
