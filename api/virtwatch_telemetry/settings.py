# Reads where telemetry goes from the OTEL_* variables of the OTLP exporter specification: one destination per signal.
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from opentelemetry.util.re import parse_env_headers

DEFAULT_INTERVAL = 60.0  # seconds, the SDK's
DEFAULT_TIMEOUT = 10.0  # seconds, as the SDK's exporters take it
_AGGREGATION = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
_PROTOCOL = "http/protobuf"


class Signal(StrEnum):
    """Name the three kinds of telemetry, as OTLP spells them in paths."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Compression(StrEnum):
    """Name the encodings of a request's body."""

    NONE = "none"
    GZIP = "gzip"
    DEFLATE = "deflate"


@dataclass(frozen=True, slots=True)
class Destination:
    """Hold where one signal goes; `timeout` in seconds covers a request with all its retries."""

    signal: Signal
    url: str
    headers: tuple[tuple[str, str], ...]
    timeout: float
    compression: Compression
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None

    @property
    def shown(self) -> str:
        """Return the URL for messages: without user, password and query."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold the destinations of the signals that are exported, and sentences about settings that were not followed."""

    destinations: Mapping[Signal, Destination]
    metric_interval: float = DEFAULT_INTERVAL  # seconds between two exports of metrics
    exponential_histograms: bool = True  # whether the backend takes them
    remarks: tuple[str, ...] = ()


def read_settings(env: Mapping[str, str]) -> Settings:
    """Read all three destinations; a signal without an endpoint has none, a wrong setting costs its own."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Settings({})
    remarks: list[str] = []
    found = {signal: _destination(_Variables(env, signal, remarks)) for signal in Signal}
    return Settings(
        destinations={signal: destination for signal, destination in found.items() if destination is not None},
        metric_interval=_interval(env, remarks),
        exponential_histograms=env.get(_AGGREGATION, "").strip().lower() != "explicit_bucket_histogram",
        remarks=tuple(dict.fromkeys(remarks)),
    )


class _Variables:
    """Look variables up for one signal: its own one first, then the one for all signals."""

    def __init__(self, env: Mapping[str, str], signal: Signal, remarks: list[str]) -> None:
        self.env = env
        self.signal = signal
        self._remarks = remarks

    def names(self, name: str) -> Iterator[str]:
        yield f"OTEL_EXPORTER_OTLP_{self.signal.upper()}_{name}"
        yield f"OTEL_EXPORTER_OTLP_{name}"

    def find(self, name: str) -> tuple[str, str]:
        """Return the variable that is set and its value, both empty where none is."""
        return next(
            ((key, self.env[key].strip()) for key in self.names(name) if self.env.get(key, "").strip()), ("", "")
        )

    def remark(self, sentence: str) -> None:
        self._remarks.append(sentence)


def _destination(variables: _Variables) -> Destination | None:
    url = _url(variables)
    if url is None or not _wanted(variables):
        return None
    return Destination(
        signal=variables.signal,
        url=url,
        headers=tuple(parse_env_headers(variables.find("HEADERS")[1], liberal=True).items()),
        timeout=_timeout(variables),
        compression=_compression(variables),
        certificate=variables.find("CERTIFICATE")[1] or None,
        client_certificate=variables.find("CLIENT_CERTIFICATE")[1] or None,
        client_key=variables.find("CLIENT_KEY")[1] or None,
    )


def _url(variables: _Variables) -> str | None:
    name, url = variables.find("ENDPOINT")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        variables.remark(f'{name} "{url}" is no http or https URL; write for example http://collector:4318')
        return None
    # The endpoint of one signal is taken as it is; the endpoint of all of them is a base.
    own = name == next(variables.names("ENDPOINT"))
    return url if own else f"{url.removesuffix('/')}/v1/{variables.signal}"


def _wanted(variables: _Variables) -> bool:
    name = f"OTEL_{variables.signal.upper()}_EXPORTER"
    exporter = variables.env.get(name, "").strip().lower()
    if exporter not in ("", "otlp", "none"):
        variables.remark(f'{name} "{exporter}" is not supported; use otlp or none')
    protocol_name, protocol = variables.find("PROTOCOL")
    if protocol not in ("", _PROTOCOL):
        variables.remark(
            f"{protocol_name} {protocol} is not supported; set it to {_PROTOCOL} "
            "and point the endpoint at the collector's HTTP port, 4318 by default"
        )
    return exporter in ("", "otlp") and protocol in ("", _PROTOCOL)


def _timeout(variables: _Variables) -> float:
    name, text = variables.find("TIMEOUT")
    timeout = _positive(text) if text else DEFAULT_TIMEOUT
    if timeout is None:
        variables.remark(f'{name} "{text}" is no number of seconds above 0; {DEFAULT_TIMEOUT:g} is used')
    return timeout or DEFAULT_TIMEOUT


def _interval(env: Mapping[str, str], remarks: list[str]) -> float:
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    text = env.get(name, "").strip()
    milliseconds = _positive(text) if text else DEFAULT_INTERVAL * 1000
    if milliseconds is None:
        remarks.append(f'{name} "{text}" is no number of milliseconds above 0; {DEFAULT_INTERVAL * 1000:g} is used')
    return (milliseconds or DEFAULT_INTERVAL * 1000) / 1000


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _compression(variables: _Variables) -> Compression:
    name, text = variables.find("COMPRESSION")
    try:
        # Every OTLP server takes gzip, and at level 1 it costs less than the bytes that it saves.
        return Compression(text.lower()) if text else Compression.GZIP
    except ValueError:
        variables.remark(f'{name} "{text}" is not known; gzip is used (others are none and deflate)')
        return Compression.GZIP
