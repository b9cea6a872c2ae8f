"""The last ThresholdSets that the API server gave, for a start without it."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

Json = dict[str, Any]
FORMAT = 1


class ThresholdMemory:
    """Keep ThresholdSet documents in one file of the state folder; a file is whole or it is the one before."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "thresholds.json"
        self.failed = False  # the disk did not take the last one

    def load(self) -> list[Json] | None:
        """Return what was saved last; None when there is nothing, or nothing readable, which is said."""
        try:
            return _items(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning(
                "%s cannot be read (%s): nothing is judged until the API server answers, then it is written again",
                self._path,
                error,
            )
            return None

    def save(self, documents: Sequence[Json]) -> bool:
        """Write what is in force; return whether the disk took it, and say when it no longer does and does again."""
        try:
            self._write(json.dumps({"format": FORMAT, "items": [_slim(item) for item in documents]}).encode())
        except OSError as error:
            if not self.failed:
                logger.warning(
                    "%s cannot be written (%s): after a restart without an API server the agent would judge by older"
                    " thresholds; free or mend the disk",
                    self._path,
                    error.strerror,
                )
            self.failed = True
            return False
        if self.failed:
            logger.info("%s can be written again", self._path)
        self.failed = False
        return True

    def _write(self, content: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


def _items(saved: Any) -> list[Json]:
    items = saved["items"]
    if saved["format"] != FORMAT or not all(isinstance(item["metadata"]["name"], str) for item in items):
        raise ValueError("it has another form than this version writes")
    return list(items)


def _slim(document: Json) -> Json:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return {**document, "metadata": metadata}
