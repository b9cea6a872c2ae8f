# The one way of an OTLP request to the backend: compress, POST, judge the answer, retry while there is time.
import gzip
import random
import threading
import time
import zlib

import requests
import urllib3.exceptions

from virtwatch_telemetry.answer import judge
from virtwatch_telemetry.outage import Failure, Failures
from virtwatch_telemetry.settings import Compression, Destination

_FIRST_PAUSE = 1.0  # seconds before the first retry; doubled each time, with 20 % jitter
_SHORTEST = 0.01  # seconds; a timeout of 0 is none
_ANSWER = 65_536  # bytes of an answer that are read; an OTLP answer holds a sentence
_CHECK = "check that the backend runs and that the endpoint names its host and HTTP port"


class Channel:
    """Deliver serialised requests of one signal. Used by one thread at a time, but `stop` comes from any."""

    def __init__(self, destination: Destination, outages: Failures) -> None:
        self._destination = destination
        self._outages = outages
        self._stopping = threading.Event()
        self._end = float("inf")
        self._session = requests.Session()
        certificate, key = destination.client_certificate, destination.client_key
        self._session.cert = (certificate, key) if certificate and key else certificate
        self._headers = {**dict(destination.headers), "content-type": "application/x-protobuf"}
        if destination.compression is not Compression.NONE:
            self._headers["content-encoding"] = destination.compression.value

    @property
    def destination(self) -> Destination:
        """Say where requests go."""
        return self._destination

    def deliver(self, body: bytes, *, within: float = float("inf")) -> bool:
        """Send one request, retrying what may heal; block for at most `within` seconds and the destination's timeout.

        Returns whether the backend accepted all of it. What it did not accept is dropped.
        """
        if time.monotonic() >= self._end:
            return False  # whoever called `stop` says what was left behind
        payload = _compress(body, self._destination.compression)
        give_up = min(time.monotonic() + min(self._destination.timeout, within), self._end)
        pause = _FIRST_PAUSE
        while (failure := self._post(payload, give_up)) is not None:
            wait = failure.retry_after if failure.retry_after is not None else pause * random.uniform(0.8, 1.2)
            too_late = time.monotonic() + wait >= give_up
            if not failure.retryable or too_late or self._stopping.wait(wait):
                self._outages.failed(self._destination, failure)
                return False
            pause *= 2
        self._outages.delivered(self._destination)
        return True

    def stop(self, end: float) -> None:
        """Let requests take until `end` (monotonic seconds) at most, and retry none of them."""
        self._end = end
        self._stopping.set()

    def _post(self, payload: bytes, give_up: float) -> Failure | None:
        destination = self._destination
        try:
            with self._session.post(
                destination.url,
                data=payload,
                headers=self._headers,
                timeout=max(give_up - time.monotonic(), _SHORTEST),
                # The session's would count less than REQUESTS_CA_BUNDLE. Each new connection reads the files again.
                verify=destination.certificate or True,
                allow_redirects=False,
                stream=True,
            ) as answer:
                content = answer.raw.read(_ANSWER, decode_content=True)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return _unreachable(error)
        return judge(destination.signal, answer.status_code, answer.headers, content)


def _compress(body: bytes, compression: Compression) -> bytes:
    match compression:
        case Compression.GZIP:
            # Level 1 costs a fifth of level 9 and sends a tenth more.
            return gzip.compress(body, 1, mtime=0)
        case Compression.DEFLATE:
            return zlib.compress(body, 1)
        case Compression.NONE:
            return body


def _unreachable(error: Exception) -> Failure:
    """Name a failed connection in words that stay the same from try to try.

    A backend that ends breaks one signal's request off and refuses the next one's: that is one thing to say.
    """
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return Failure(f"TLS failed: {_innermost(error)}", "check OTEL_EXPORTER_OTLP_CERTIFICATE", retryable=False)
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        how = "it does not answer in time"
    elif "refused" in text:
        how = "it refuses connections"
    elif "resolve" in text:
        how = "its name does not resolve"
    elif isinstance(error, requests.ConnectionError | urllib3.exceptions.HTTPError):
        how = f"the connection failed: {_innermost(error)}"
    else:
        return Failure(f"the request failed: {_innermost(error)}", _CHECK, retryable=False)
    return Failure("it cannot be reached", _CHECK, retryable=True, detail=f" ({how})")


def _innermost(error: BaseException) -> str:
    cause = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return f"{type(cause).__name__}: {str(cause)[:200]}"
