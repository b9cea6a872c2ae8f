"""Takes whatever came from a secret out of a text, should a sentence ever hold some of it. Pure."""

import re
from urllib.parse import unquote, unquote_plus

MASK = "…"
_SHORTEST = 4  # shorter parts are words of any sentence
_NAMES = re.compile(r"[?&]([a-z_]+)=")
_PARTS = re.compile(r"[/?&=#@:,;\s]+")


def redact(text: str, *secrets: str) -> str:
    """Mask each secret, and each of its parts of some length, in a text."""
    parts: set[str] = set()
    for secret in secrets:
        for form in (secret, unquote(secret), unquote_plus(secret)):
            parts |= {form.strip(), *_PARTS.split(form)}
        parts |= {unquote(part) for part in _PARTS.split(secret)}
        # The scheme and the names of parameters are Apprise's words.
        parts -= {secret.partition(":")[0], *_NAMES.findall(secret)}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= _SHORTEST:
            text = re.sub(re.escape(part), MASK, text, flags=re.IGNORECASE)
    return text
