"""One send by Apprise in a process of its own: whatever a plugin does, it ends, and it reaches nothing out of bounds.

Reads a request from standard input, so that no secret stands among a process's arguments or in its environment.
"""

import json
import os
import resource
import smtplib
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from virtwatch_operator.notify.explain import explain
from virtwatch_operator.notify.guard import Guard, OutOfBoundsError, read_guard

_MEMORY_BYTES = 1 << 30
_CPU_S = 20
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "ctypes.dlopen")
_READABLE = ("/etc/ssl/", "/etc/pki/", "/usr/lib/ssl/", "/usr/share/zoneinfo/", "/usr/share/ca-certificates/")
_READABLE_FILES = ("/etc/localtime", "/etc/mime.types", "/dev/null", "/dev/urandom")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class Faults:
    """Note what went wrong, in words that hold nothing that came from the address or the receiver."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self.refused = False

    def note(self, text: str) -> None:
        """Note one fault."""
        self._said.append(text)

    def refuse(self, text: str) -> PermissionError:
        """Note that something was out of bounds, which outweighs what follows from it."""
        self.refused = True
        self._said.insert(0, text)
        return PermissionError(text)

    @property
    def said(self) -> str:
        """Return the fault that explains best: the refusal, or the last one."""
        if not self._said:
            return "the receiver did not take it"
        return self._said[0] if self.refused else self._said[-1]


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    answer_to = os.dup(sys.stdout.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())  # plugins print, and their logs hold addresses
    os.dup2(nowhere, sys.stderr.fileno())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    answer = _answer(request)
    os.write(answer_to, json.dumps(answer).encode())


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    faults = Faults()
    try:
        plugin = _plugin(request["url"])
        if plugin is None:
            return {"known": False, "delivered": False, "said": "Apprise cannot read its address"}
        if request.get("check"):
            return {"known": True, "delivered": False, "said": ""}
        _listen(faults)
        confine(read_guard(request["guard"]), faults)
        delivered = _notify(plugin, request)
    except Exception as error:  # noqa: BLE001 - the process's edge: a plugin may raise anything
        faults.note(explain(error))
        delivered = False
    if delivered and not faults.refused:
        return {"known": True, "delivered": True, "said": "delivered"}
    return {"known": True, "delivered": False, "said": faults.said}


def _notify(plugin: Any, request: dict[str, Any]) -> bool:
    import apprise

    kind = apprise.NotifyType(request["type"])
    return bool(plugin.notify(title=request["title"], body=request["body"], notify_type=kind))


def _plugin(url: str) -> Any:
    import apprise

    asset = apprise.AppriseAsset(
        app_id="virtwatch",
        app_desc="virtwatch",
        app_url="https://virtwatch.io",
        async_mode=False,
        secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        plugin_paths=[],
    )
    return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def confine(guard: Guard, faults: Faults) -> None:
    """Let this process connect only to what the guard allows, read only what a send needs, and start nothing."""
    if guard.free:
        return
    readable = tuple(
        os.path.realpath(path) + ("/" if os.path.isdir(path) else "")  # noqa: PTH112
        for path in (sys.prefix, sys.base_prefix, *sys.path, *(os.environ.get(name, "") for name in _CERTIFICATES))
        if path
    )

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            _check_address(arguments[0], arguments[1], guard, faults)
        elif event == "open":
            _check_file(arguments[0], readable, faults)
        elif event in _FORBIDDEN or event.startswith("os.spawn"):
            raise faults.refuse("its address makes the operator start a program, which a channel may not do")

    sys.addaudithook(check)


def _check_address(sock: Any, address: Any, guard: Guard, faults: Faults) -> None:
    if address is None:  # a datagram on a socket that was connected, and checked then
        return
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        raise faults.refuse("its address is a socket of the operator's own machine, where no channel may go")
    if reason := guard.refuses(str(address[0])):
        raise faults.refuse(str(OutOfBoundsError(str(address[0]), reason)))


def _check_file(path: Any, readable: tuple[str, ...], faults: Faults) -> None:
    if isinstance(path, int):
        return
    found = os.path.realpath(os.fsdecode(path))
    if found not in _READABLE_FILES and not found.startswith((*readable, *_READABLE)) and found + "/" not in readable:
        raise faults.refuse("its address makes the operator read a file, which a channel may not do")


def _listen(faults: Faults) -> None:
    """Hear of faults that plugins keep for themselves."""
    import requests

    send = requests.sessions.Session.send

    def watched(self: Any, request: Any, **more: Any) -> Any:
        try:
            answer = send(self, request, **more)
        except Exception as error:
            faults.note(explain(error))
            raise
        if answer.status_code >= 400:
            faults.note(f"the receiver answered {_http(answer.status_code)}")
        return answer

    requests.sessions.Session.send = watched  # type: ignore[method-assign]
    for name in ("connect", "starttls", "login", "sendmail"):
        setattr(smtplib.SMTP, name, _watched(getattr(smtplib.SMTP, name), faults))
    smtplib.SMTP_SSL._get_socket = _watched(smtplib.SMTP_SSL._get_socket, faults)  # type: ignore[attr-defined]  # noqa: SLF001


def _watched(method: Callable[..., Any], faults: Faults) -> Callable[..., Any]:
    def watched(*arguments: Any, **more: Any) -> Any:
        try:
            return method(*arguments, **more)
        except Exception as error:
            faults.note(explain(error))
            raise

    return watched


def _http(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


if __name__ == "__main__":
    main()
