"""What a NotificationChannel asks for: where alerts go, when, and in which words."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from virtwatch_api.policy import Severity
from virtwatch_api.policy_codec import read_generation
from virtwatch_api.problem import Problem
from virtwatch_api.reading import Cursor
from virtwatch_api.version import API_VERSION, readable

KIND = "NotificationChannel"
MAX_PER_HOUR = 1000
MAX_TITLE = 256
MAX_BODY = 4096
CLOCK = re.compile(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
TIME_ZONE = re.compile(r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")
TEST_ANNOTATION = "virtwatch.io/test"

# What a message may hold; see docs/notifications.md.
PLACEHOLDERS = ("title", "alerts", "firing", "resolved", "channel", "namespace")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class ChannelType(StrEnum):
    """Name a kind of channel."""

    EMAIL = "Email"
    SMS = "SMS"
    PHONE = "Phone"
    CHAT = "Chat"
    WEBHOOK = "Webhook"
    ALERTMANAGER = "Alertmanager"


@dataclass(frozen=True, slots=True)
class ChannelKey:
    """Identify a NotificationChannel."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """Name one entry of a Secret in the channel's namespace."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """Say where an Alertmanager is; `url` holds no credentials."""

    url: str
    token: SecretKey | None = None


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Say when a channel is silent: `start` and `end` in minutes after midnight of `time_zone`; `start` may be later.

    Severities in `except_` are sent all the same; the others wait for the end.
    """

    start: int
    end: int
    time_zone: str
    except_: tuple[Severity, ...]


@dataclass(frozen=True, slots=True)
class Wording:
    """Hold a channel's own words, empty where the default ones serve."""

    title: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """Hold what one NotificationChannel asks for; `group_wait` in seconds."""

    key: ChannelKey
    uid: str
    generation: int
    type: ChannelType
    url: SecretKey | None
    alertmanager: Alertmanager | None
    send_resolved: bool
    group_wait: float
    max_per_hour: int
    quiet_hours: QuietHours | None
    wording: Wording


def parse_channel(document: Any) -> Channel | tuple[Problem, ...]:
    """Read a NotificationChannel; everything that is wrong comes back as problems, all at once."""
    problems: list[Problem] = []
    root = Cursor(document, "", problems)
    if not root.mapping("apiVersion", "kind", "metadata", "spec", "status"):
        return (Problem("(document)", "must be a mapping with apiVersion, kind, metadata and spec"),)
    if not readable(root["apiVersion"].value):
        root["apiVersion"].problem(f"must be {API_VERSION}")
    if root["kind"].value != KIND:
        root["kind"].problem(f"must be {KIND}")
    metadata, spec = root["metadata"], root["spec"]
    key = ChannelKey(metadata["namespace"].text("default", at_most=63), metadata["name"].text())
    spec.mapping(
        "type", "urlSecretRef", "alertmanager", "sendResolved", "groupWait", "maxPerHour", "quietHours", "message"
    )
    type_ = spec["type"].choice(ChannelType)
    channel = Channel(
        key=key,
        uid=str(metadata["uid"].value or ""),
        generation=read_generation(metadata["generation"]),
        type=type_,
        url=_secret(spec["urlSecretRef"], "url") if spec.has("urlSecretRef") else None,
        alertmanager=_alertmanager(spec["alertmanager"]) if spec.has("alertmanager") else None,
        send_resolved=spec["sendResolved"].boolean(default=True),
        group_wait=spec["groupWait"].duration(10.0, at_most=600.0),
        max_per_hour=spec["maxPerHour"].integer(30, at_least=1, at_most=MAX_PER_HOUR),
        quiet_hours=_quiet_hours(spec["quietHours"]) if spec.has("quietHours") else None,
        wording=_wording(spec["message"]) if spec.has("message") else Wording(),
    )
    if spec["type"].value in tuple(ChannelType):
        _check_address(spec, type_)
    return tuple(problems) or channel


def _check_address(spec: Cursor, type_: ChannelType) -> None:
    needs, other = "urlSecretRef", "alertmanager"
    if type_ is ChannelType.ALERTMANAGER:
        needs, other = other, needs
    if not spec.has(needs) or spec.has(other):
        spec.problem(f"a channel of type {type_} needs {needs} and takes no {other}")


def _secret(cursor: Cursor, key: str) -> SecretKey:
    cursor.mapping("name", "key")
    return SecretKey(cursor["name"].text(), cursor["key"].text(key))


def _alertmanager(cursor: Cursor) -> Alertmanager:
    cursor.mapping("url", "tokenSecretRef")
    token = _secret(cursor["tokenSecretRef"], "token") if cursor.has("tokenSecretRef") else None
    return Alertmanager(cursor["url"].text(at_most=1024, check=_url_problem), token)


def _url_problem(url: str) -> str | None:
    if "@" in url:
        return "must not hold credentials; put a bearer token into a Secret and name it in tokenSecretRef"
    if not re.match(r"^https?://[^/\s]", url):
        return 'must be an http or https URL, as in "http://alertmanager.monitoring:9093"'
    return None


def _quiet_hours(cursor: Cursor) -> QuietHours:
    cursor.mapping("from", "to", "timeZone", "except")
    start, end = _minutes(cursor["from"]), _minutes(cursor["to"])
    if start == end:
        cursor.problem("from and to must differ; quiet hours end the next day where to is earlier than from")
    given = isinstance(cursor["except"].value, list)
    severities = tuple(item.choice(Severity) for item in cursor["except"].items(at_most=2))
    return QuietHours(
        start=start,
        end=end,
        time_zone=cursor["timeZone"].text("UTC", at_most=64, check=_time_zone_problem),
        except_=severities if given else (Severity.CRITICAL,),
    )


def _minutes(cursor: Cursor) -> int:
    text = cursor.text(at_most=5, check=_clock_problem)
    return int(text[:2]) * 60 + int(text[3:]) if CLOCK.fullmatch(text) else 0


def _clock_problem(text: str) -> str | None:
    return None if CLOCK.fullmatch(text) else 'must be a time of day from "00:00" to "23:59"'


def _time_zone_problem(text: str) -> str | None:
    return None if TIME_ZONE.fullmatch(text) else 'must be the name of a time zone, as in "Europe/Berlin"'


def _wording(cursor: Cursor) -> Wording:
    cursor.mapping("title", "body")
    texts = {
        name: cursor[name].text(at_most=bound, check=_placeholder_problem) if cursor.has(name) else ""
        for name, bound in (("title", MAX_TITLE), ("body", MAX_BODY))
    }
    return Wording(**texts)


def _placeholder_problem(text: str) -> str | None:
    unknown = [name for name in _PLACEHOLDER.findall(text) if name not in PLACEHOLDERS]
    if not unknown:
        return None
    return f"unknown placeholder {{{unknown[0]}}}; known here: {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}"
