"""How the API server is reached: where it is, by which connections, and in whose name."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection

CONNECTIONS = 10  # kept open at most: one for each watch, some for writers
# As client-go asks for, where the kernel knows of it: a connection whose other end is gone is found within 3 min.
_PROBES = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 9}
KEEP_ALIVE = (
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in _PROBES.items() if hasattr(socket, name)),
)


class NoCredentials(Exception):  # noqa: N818 - it is what Kubernetes' own clients call it
    """Say why a request cannot be sent in anybody's name."""


@dataclass(frozen=True, slots=True)
class Server:
    """Hold where requests go; `authorization` gives the header's value again for each, "" for none.

    `authorization` raises NoCredentials or OSError when there is no value now.
    """

    host: str
    pool: PoolManager
    authorization: Callable[[], str]
