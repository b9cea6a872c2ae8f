# One watch request, as events.
import json
import random
from collections.abc import Iterator
from typing import Any

from urllib3.exceptions import HTTPError, ReadTimeoutError

from virtwatch_kube.client import Json, KubeClient
from virtwatch_kube.errors import Unavailable, refusal

LIFE_S = (240, 360)  # spread, so that a fleet's streams do not end together
SILENCE_S = 90.0  # bookmarks come each minute where anything moves: a longer silence may be a half-open stream


class EventStream:
    """Iterate over what happens in a collection after `version`, bookmarks included, until it ends or falls silent.

    Raises:
        KubeError: in the constructor when the request fails, in the iteration when the stream does.
    """

    def __init__(
        self,
        path: str,
        *,
        client: KubeClient,
        version: str,
        selectors: dict[str, str],
        metadata_only: bool = False,
    ) -> None:
        self._request = f"WATCH {path}"
        self.life = random.randint(*LIFE_S)
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(self.life),
            **selectors,
        }
        self._answer = client.stream(path, query=query.items(), read_timeout=SILENCE_S, metadata_only=metadata_only)
        self._cut = False

    def __iter__(self) -> Iterator[Json]:
        try:
            for line in _lines(self._answer):
                yield self._event(line)
        except ReadTimeoutError:
            return  # no failure yet: the next request tells whether anybody is there
        except (HTTPError, OSError, ValueError) as error:
            # ValueError is both a line that is no JSON and a TLS socket that was shut down under the reader.
            if not self._cut:
                raise Unavailable(f"{self._request}: the stream broke off: {error}") from error
        finally:
            self._answer.close()
            self._answer.release_conn()

    def cut(self) -> None:
        """End the iteration, from another thread."""
        self._cut = True
        try:
            self._answer.shutdown()
        except (OSError, ValueError, RuntimeError):
            return  # it has ended by itself

    def _event(self, line: bytes) -> Json:
        event: Json = json.loads(line)
        if event["type"] == "ERROR":
            status = event["object"]
            raise refusal(self._request, int(status.get("code", 500)), json.dumps(status).encode(), {})
        return event


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in answer.stream(amt=None, decode_content=False):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
