"""What an error of the network means, in words that hold nothing that came from an address or a receiver."""

import smtplib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from virtwatch_operator.notify.guard import OutOfBoundsError


def explain(error: BaseException) -> str:
    """Say what an error means, without its text: that may hold an address or what the receiver wrote."""
    for found in _causes(error):
        for kind, say in _MEANINGS:
            if isinstance(found, kind):
                return say(found)
    name = type(error).__name__
    return "the receiver did not answer in time" if "Timeout" in name else f"sending failed ({name})"


def _recipients(error: Any) -> str:
    codes = sorted({str(code) for code, _ in error.recipients.values()})
    return f"the mail server refuses {len(error.recipients)} of the recipients (SMTP {', '.join(codes)})"


# The first kind that fits counts: special ones come first.
_MEANINGS: tuple[tuple[type[BaseException], Callable[[Any], str]], ...] = (
    (OutOfBoundsError, str),
    (ssl.SSLCertVerificationError, lambda error: f"the receiver's certificate is not valid: {error.verify_message}"),
    (ssl.SSLError, lambda _: "no secure connection came about (TLS)"),
    (smtplib.SMTPAuthenticationError, lambda error: f"the mail server refuses the login (SMTP {error.smtp_code})"),
    (smtplib.SMTPRecipientsRefused, _recipients),
    (smtplib.SMTPResponseException, lambda error: f"the mail server refuses the message (SMTP {error.smtp_code})"),
    (smtplib.SMTPServerDisconnected, lambda _: "the mail server closed the connection"),
    (smtplib.SMTPNotSupportedError, lambda _: "the mail server cannot do what the address asks for (TLS or login)"),
    (socket.gaierror, lambda _: "the receiver's host name cannot be resolved"),
    (TimeoutError, lambda _: "the receiver did not answer in time"),
    (ConnectionRefusedError, lambda _: "the connection was refused: nothing listens there"),
    (ConnectionError, lambda _: "the connection broke off"),
)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the innermost first; libraries wrap them as arguments, too."""
    found: list[BaseException] = []
    queue: list[BaseException] = [error]
    while queue and len(found) < 32:
        item = queue.pop(0)
        if any(item is other for other in found):
            continue
        found.append(item)
        inner = [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
        queue += [other for other in inner if isinstance(other, BaseException)]
    return found[::-1]
