# The one boundary to the official client, which is untyped: what crosses it is Any or a plain document.
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes import client as official
from kubernetes import config as official_config
from urllib3.exceptions import HTTPError

from virtwatch_kube.errors import KubeError, NotLeading, Unavailable, refusal

Json = dict[str, Any]
Query = Iterable[tuple[str, str]]
Answered = Callable[[str, str], None]

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
PAGE = 500  # objects per list request, as kubectl and client-go ask for
CONNECTIONS = 10  # kept open at most: one for each watch, some for writers
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
        api: Any,
        *,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        read_timeout: float = READ_TIMEOUT_S,
        may_write: Callable[[], bool] = lambda: True,
        answered: Answered = lambda _verb, _result: None,
    ) -> None:
        self._api = api
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
        api = official.ApiClient(configuration_from_environment(kubeconfig))
        api.user_agent = "virtwatch"
        return cls(
            api,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            may_write=may_write,
            answered=answered,
        )

    @property
    def server(self) -> str:
        """Name the API server's address, for messages."""
        return str(self._api.configuration.host)

    def get(self, path: str, *, metadata_only: bool = False) -> Json:
        """Read one object."""
        return self._document("GET", path, accept=_METADATA.format("") if metadata_only else JSON)

    def list(self, path: str, *, labels: str = "", fields: str = "", metadata_only: bool = False) -> list[Json]:
        """Read all objects of a collection, page by page."""
        return self.snapshot(path, labels=labels, fields=fields, metadata_only=metadata_only).items

    def snapshot(
        self, path: str, *, labels: str = "", fields: str = "", at_most: int | None = None, metadata_only: bool = False
    ) -> Snapshot:
        """Read a collection with its resourceVersion; `at_most` ends after that many objects."""
        accept = _METADATA.format("List") if metadata_only else JSON
        items: list[Json] = []
        token = ""
        while True:
            query = {"limit": str(at_most or PAGE), "continue": token, "labelSelector": labels, "fieldSelector": fields}
            given = [(name, value) for name, value in query.items() if value]
            page = self._document("GET", path, query=given, accept=accept)
            metadata = page.get("metadata") or {}
            items += page.get("items") or []
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
        timeouts = (self._connect_timeout, self._read_timeout if read_timeout is None else read_timeout)
        headers = {"Accept": accept, **({"Content-Type": content} if content else {})}
        try:
            request = self._api.param_serialize(
                verb, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            if verb != "GET" and not self._may_write():
                raise NotLeading(f"{verb} {path}: not sent, for this replica does not hold the Lease any more")
            answer = self._api.call_api(*request, _request_timeout=timeouts).response
        except (HTTPError, OSError, official.ApiException, official_config.ConfigException) as error:
            self._answered(verb, "none")
            raise _unreachable(f"{verb} {path}", self.server, error) from error
        self._answered(verb, str(answer.status))
        if not 200 <= answer.status < 300:
            headers_said: Mapping[str, str] = answer.headers
            raise refusal(f"{verb} {path}", answer.status, _read(answer, f"{verb} {path}"), headers_said)
        return answer


def _manager(name: str) -> Query:
    return [("fieldManager", name)] if name else []


def configuration_from_environment(kubeconfig: str | None = None) -> Any:
    """Return the official client's configuration, as `KubeClient.from_environment` means it."""
    configuration = official.Configuration()
    path = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            official_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            official_config.load_kube_config(config_file=path, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (official_config.ConfigException, OSError, ValueError, yaml.YAMLError) as error:
        raise KubeError(
            f"No way to a Kubernetes API server: {error} Run in a Pod with a ServiceAccount, or set KUBECONFIG."
        ) from error
    # Ours to decide: who retries, how often, and what is logged of it.
    configuration.retries = False
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = CONNECTIONS
    return configuration


def _read(answer: Any, request: str) -> bytes:
    try:
        return bytes(answer.data)
    except (HTTPError, OSError) as error:
        raise Unavailable(f"{request}: the answer broke off: {error}") from error
    finally:
        answer.release_conn()


def _unreachable(request: str, server: str, error: Exception) -> Unavailable:
    return Unavailable(f"{request}: no answer from the API server at {server}: {error}")
