"""Evidence as documents, both ways; of what fires, a NodeMonitor holds figures as people read them. Pure."""

from dataclasses import replace
from typing import Any

from virtwatch_api.bounds import scale_named
from virtwatch_api.figures import parse_value
from virtwatch_api.nodemonitor import Evidence

Json = dict[str, Any]
# Characters, as in the CRDs: one overlong sentence must not make the API server refuse a whole report.
MAX_TEXT = 1024
MAX_NAME = 253
MAX_PLACE = 527  # two names of 253 characters, and what they are
_MAX_FIGURE = 32


def encode_evidence(item: Evidence) -> Json:
    """Write evidence with figures that read back exactly."""
    # Kubernetes objects hold no floats: numbers travel as text.
    numbers = {"value": item.value, "bound": item.bound}
    return {
        "subject": item.subject,
        **{name: repr(value) for name, value in numbers.items() if value is not None},
        **({"text": item.text[:MAX_TEXT]} if item.text else {}),
        **({"band": {"low": repr(item.band[0]), "high": repr(item.band[1])}} if item.band else {}),
        **({"count": item.count} if item.count is not None else {}),
        **({"culprit": item.culprit[:MAX_NAME]} if item.culprit else {}),
        **({"function": item.function} if item.function else {}),
        **({"place": item.place[:MAX_PLACE]} if item.place else {}),
    }


def decode_evidence(document: Json) -> Evidence:
    """Read evidence; a figure that is none is left out, for it must not make all of a node unreadable."""
    return Evidence(
        subject=document["subject"],
        value=_number(document.get("value")),
        bound=_number(document.get("bound")),
        text=document.get("text", ""),
        band=_band(document.get("band")),
        count=document.get("count"),
        culprit=document.get("culprit", ""),
        function=document.get("function", ""),
        place=document.get("place", ""),
    )


def rounded(item: Evidence) -> Evidence:
    """Return evidence whose figures are those that people read of it: in three digits, and told apart."""
    value, bound = (_number(_text(item, figure)) for figure in (item.value, item.bound))
    return replace(item, value=value, bound=bound)


def for_people(document: Json) -> Json:
    """Write the figures of evidence as people read them, where that reads back exactly: 12 %, not 0.12."""
    item = decode_evidence(document)
    texts = {"value": _text(item, item.value), "bound": _text(item, item.bound)}
    numbers = {"value": item.value, "bound": item.bound}
    shown = {name: text for name, text in texts.items() if text and _number(text) == numbers[name]}
    return {**document, **shown}


def _text(item: Evidence, figure: float | None) -> str:
    if figure is None:
        return ""
    other = item.bound if figure is item.value else item.value
    text = scale_named(item.subject, item.function).format(figure, beside=other)
    return text if len(text) <= _MAX_FIGURE else ""


def _band(document: Json | None) -> tuple[float, float] | None:
    low, high = (_number(document.get(end)) for end in ("low", "high")) if document else (None, None)
    return (low, high) if low is not None and high is not None else None


def _number(text: Any) -> float | None:
    try:
        return parse_value(text)
    except (TypeError, ValueError):
        return None
