"""Plain documents by path from and to the API server: what agent, operator and command ask of Kubernetes."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from virtwatch_kube.errors import NotLeading, Unavailable, refusal
from virtwatch_kube.server import NoCredentials, Server
from virtwatch_kube.service_account import by_service_account, in_pod

Json = dict[str, Any]
Query = Iterable[tuple[str, str]]
Answered = Callable[[str, str], None]

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
PAGE = 200  # objects per list request: thousands of large ones are not held as text, too
APPLY = "application/apply-patch+yaml"
JSON = "application/json"
# Names, labels and owners alone: what an object says of a guest stays on the server.
_METADATA = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold all objects of a collection at one resourceVersion."""

    items: list[Json]
    version: str


class KubeClient:
    """Read and write plain documents by path, from any thread; nothing is tried again here.

    Every method raises KubeError or one of its kinds, at the latest after its time-outs.
    """

    def __init__(
        self,
        server: Server,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        read_timeout: float = READ_TIMEOUT_S,
        may_write: Callable[[], bool] = lambda: True,
        answered: Answered = lambda _verb, _result: None,
    ) -> None:
        self._server = server
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._may_write = may_write
        self._answered = answered

    @classmethod
    def from_environment(
        cls,
        kubeconfig: str | None = None,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        read_timeout: float = READ_TIMEOUT_S,
        may_write: Callable[[], bool] = lambda: True,
        answered: Answered = lambda _verb, _result: None,
    ) -> "KubeClient":
        """Connect as the mounted service account, whose rotated token is read again, or by a kubeconfig.

        `answered` is called with the verb of each request and its result: an HTTP status, or "none" for no answer.
        `kubeconfig` given wins; else a mounted service account; else $KUBECONFIG, else ~/.kube/config. Nothing is sent
        yet: an absent API server is found by the first request. Time-outs in seconds. `may_write` is asked right before
        each write: where it says no, the write fails with NotLeading.

        Raises:
            KubeError: there is no usable configuration.
        """
        return cls(
            server_from_environment(kubeconfig),
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            may_write=may_write,
            answered=answered,
        )

    @property
    def server(self) -> str:
        """Name the API server's address, for messages."""
        return self._server.host

    def get(self, path: str, *, metadata_only: bool = False) -> Json:
        """Read one object."""
        return self._document("GET", path, accept=_METADATA.format("") if metadata_only else JSON)

    def list(self, path: str, *, labels: str = "", fields: str = "", metadata_only: bool = False) -> list[Json]:
        """Read all objects of a collection, page by page."""
        return self.snapshot(path, labels=labels, fields=fields, metadata_only=metadata_only).items

    def snapshot(
        self, path: str, *, labels: str = "", fields: str = "", at_most: int | None = None, metadata_only: bool = False
    ) -> Snapshot:
        """Read a collection with its resourceVersion; `at_most` ends after that many objects.

        Its objects say who wrote them, and when, but not which fields.
        """
        accept = _METADATA.format("List") if metadata_only else JSON
        items: list[Json] = []
        token = ""
        while True:
            query = {"limit": str(at_most or PAGE), "continue": token, "labelSelector": labels, "fieldSelector": fields}
            given = [(name, value) for name, value in query.items() if value]
            page = self._document("GET", path, query=given, accept=accept)
            metadata = page.get("metadata") or {}
            items += map(_without_fields, page.get("items") or [])
            token = metadata.get("continue", "")
            if not token or at_most is not None:
                return Snapshot(items, metadata.get("resourceVersion", ""))

    def create(self, path: str, body: Json, *, manager: str = "") -> Json:
        """Create an object in a collection."""
        return self._document("POST", path, query=_manager(manager), body=body, content=JSON)

    def replace(self, path: str, body: Json, *, manager: str) -> Json:
        """Write an object whole; what is not in `body` goes. With a resourceVersion, only over that very version."""
        return self._document("PUT", path, query=_manager(manager), body=body, content=JSON)

    def apply(self, path: str, body: Json, *, manager: str, force: bool = True) -> Json:
        """Apply on the server's side: `manager` owns exactly the fields in `body`. The path may end in /status."""
        query = [("fieldManager", manager), ("force", str(force).lower())]
        return self._document("PATCH", path, query=query, body=body, content=APPLY)

    def delete(self, path: str) -> Json:
        """Delete an object."""
        return self._document("DELETE", path)

    def stream(self, path: str, *, query: Query, read_timeout: float, metadata_only: bool = False) -> Any:
        """Open a watch; return urllib3's response, to be read line by line and closed by the caller."""
        accept = _METADATA.format("") if metadata_only else JSON
        return self._send("GET", path, query=query, read_timeout=read_timeout, accept=accept)

    def _document(
        self,
        verb: str,
        path: str,
        *,
        query: Query = (),
        body: Json | None = None,
        content: str = "",
        accept: str = JSON,
    ) -> Json:
        answer = self._send(verb, path, query=query, body=body, content=content, accept=accept)
        data = _read(answer, f"{verb} {path}")
        try:
            document = json.loads(data)
        except ValueError as error:
            raise Unavailable(f"{verb} {path}: what answered is no Kubernetes API server: {data[:100]!r}") from error
        if not isinstance(document, dict):
            raise Unavailable(f"{verb} {path}: what answered is no Kubernetes API server: {data[:100]!r}")
        return document

    def _send(
        self,
        verb: str,
        path: str,
        *,
        query: Query = (),
        body: Json | None = None,
        content: str = "",
        accept: str = JSON,
        read_timeout: float | None = None,
    ) -> Any:
        url = f"{self.server}{path}"
        if given := urlencode(list(query), quote_via=quote):
            url = f"{url}?{given}"
        headers = {"Accept": accept, "User-Agent": "virtwatch", **({"Content-Type": content} if content else {})}
        try:
            if authorization := self._server.authorization():
                headers["Authorization"] = authorization
            if verb != "GET" and not self._may_write():
                raise NotLeading(f"{verb} {path}: not sent, for this replica does not hold the Lease any more")
            answer = self._server.pool.request(
                verb,
                url,
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=Timeout(self._connect_timeout, self._read_timeout if read_timeout is None else read_timeout),
                # Ours to decide: who retries, how often, and what is logged of it.
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (HTTPError, OSError, NoCredentials) as error:
            self._answered(verb, "none")
            raise _unreachable(f"{verb} {path}", self.server, error) from error
        self._answered(verb, str(answer.status))
        if not 200 <= answer.status < 300:
            headers_said: Mapping[str, str] = answer.headers
            raise refusal(f"{verb} {path}", answer.status, _read(answer, f"{verb} {path}"), headers_said)
        return answer


def _without_fields(item: Json) -> Json:
    """Forget which fields are whose, half of a large object: nobody asks, and thousands are held until all are read."""
    for note in (item.get("metadata") or {}).get("managedFields") or ():
        note.pop("fieldsV1", None)
    return item


def _manager(name: str) -> Query:
    return [("fieldManager", name)] if name else []


def server_from_environment(kubeconfig: str | None = None) -> Server:
    """Return the API server, as `KubeClient.from_environment` means it."""
    if kubeconfig is None and in_pod(os.environ):
        return by_service_account(os.environ)
    from virtwatch_kube.kubeconfig import by_kubeconfig  # an agent in a cluster has no use for it

    return by_kubeconfig(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")


def _read(answer: Any, request: str) -> bytes:
    try:
        return bytes(answer.data)
    except (HTTPError, OSError) as error:
        raise Unavailable(f"{request}: the answer broke off: {error}") from error
    finally:
        answer.release_conn()


def _unreachable(request: str, server: str, error: Exception) -> Unavailable:
    return Unavailable(f"{request}: no answer from the API server at {server}: {error}")
