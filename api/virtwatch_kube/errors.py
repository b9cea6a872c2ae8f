# ruff: noqa: N818 - the names are what Kubernetes calls these answers.
import json
from collections.abc import Mapping


class KubeError(Exception):
    """Say which request failed, what the API server said and what it means.

    `status` is HTTP's, 0 when there was no answer. `reason` is Kubernetes' word, such as AlreadyExists.
    `retry_after` is in seconds, None when the server did not ask for a delay.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFound(KubeError):
    """Say that the object or its kind does not exist."""


class NotServed(NotFound):
    """Say that the object's kind does not exist, or is being deleted: no object of it can be had."""


class Conflict(KubeError):
    """Say that the object exists already, has changed meanwhile, or that another manager owns the field."""


class Forbidden(KubeError):
    """Say that the token was refused or may not do this."""


class Invalid(KubeError):
    """Say that the API server refuses the request as it is: the same one will fail again."""


class Expired(KubeError):
    """Say that the asked-for resourceVersion is too old: list again."""


class Unavailable(KubeError):
    """Say that the API server is absent, overloaded or answered nonsense: the same request may succeed later."""


class NotYetServed(Unavailable):
    """Say that the object's kind was created or changed a moment ago: the API server serves it in a second or two."""


class NotLeading(KubeError):
    """Say that a write was not sent: another replica may hold the Lease by now."""


# Of an object that is missing the API server says it in a Status.
_NO_SUCH_PATH = b"404 page not found"
_KIND_IS_GOING = "custom resource definition is terminating"
_KIND_COMES = "storage is (re)initializing"
_BY_STATUS: Mapping[int, type[KubeError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    410: Expired,
    429: Unavailable,
}


def refusal(request: str, status: int, body: bytes, headers: Mapping[str, str]) -> KubeError:
    """Make the error for an answer that is no success; `request` is the verb and the path."""
    document = _parse(body)
    said = str(document.get("message") or body[:300].decode(errors="replace").strip() or "nothing")
    reason = str(document.get("reason") or "")
    kind = _BY_STATUS.get(status, Invalid if 400 <= status < 500 else Unavailable)
    if (status == 404 and body.strip() == _NO_SUCH_PATH) or _KIND_IS_GOING in said:
        kind = NotServed
    if status == 429 and _KIND_COMES in said:
        kind = NotYetServed
    return kind(
        f"{request}: the API server answered {status}{f' {reason}' if reason else ''}: {said[:1000]}",
        status=status,
        reason=reason,
        retry_after=_seconds(headers.get("Retry-After", "")),
    )


def _parse(body: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(text: str) -> float | None:
    # The API server writes whole seconds; a date, HTTP's other form, comes from proxies only and may be ignored.
    return float(text) if text.isdecimal() else None
