"""The API server as a Pod reaches it: by its mounted service account, with what Python and urllib3 bring.

The official client can do it too, and takes 30 MiB in every agent for its models of all kinds of object.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from urllib3 import PoolManager

from virtwatch_kube.errors import KubeError
from virtwatch_kube.server import CONNECTIONS, KEEP_ALIVE, NoCredentials, Server

MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_READ_AGAIN_S = 60.0  # the kubelet writes a new token when 80 % of the old one's time are over: an hour, as a rule
_ADVICE = "Run in a Pod with a ServiceAccount, or set KUBECONFIG."


def in_pod(env: Mapping[str, str]) -> bool:
    """Return whether this process runs in a Pod."""
    return bool(env.get("KUBERNETES_SERVICE_HOST"))


def by_service_account(
    env: Mapping[str, str], *, mounted: Path = MOUNTED, clock: Callable[[], float] = time.monotonic
) -> Server:
    """Return the API server that a Pod is reported of by its environment; no proxy is asked. `clock` in seconds.

    Raises:
        KubeError: there is no token or no certificate.
    """
    host, authorities = env["KUBERNETES_SERVICE_HOST"], mounted / "ca.crt"
    host = f"[{host}]" if ":" in host else host
    token = _Token(mounted / "token", clock)
    try:
        token.header()
        _text(authorities)
    except (NoCredentials, OSError) as error:
        raise KubeError(f"No way to a Kubernetes API server: {error} {_ADVICE}") from error
    pool = PoolManager(ca_certs=str(authorities), maxsize=CONNECTIONS, socket_options=KEEP_ALIVE)
    return Server(f"https://{host}:{env.get('KUBERNETES_SERVICE_PORT') or '443'}", pool, token.header)


class _Token:
    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock
        self._value = ""
        self._read_at = float("-inf")

    def header(self) -> str:
        """Return the newest token as a header's value."""
        now = self._clock()
        if now - self._read_at >= _READ_AGAIN_S:
            self._value, self._read_at = f"Bearer {_text(self._file)}", now
        return self._value


def _text(file: Path) -> str:
    text = file.read_text().strip()
    if not text:
        raise NoCredentials(f"{file} is empty.")
    return text
