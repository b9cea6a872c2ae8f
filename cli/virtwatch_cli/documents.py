"""The documents of a file's text, each value with its line, as kubectl reads them. What a text may cost is bounded."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from virtwatch_api.names import shown
from virtwatch_api.problem import Problem
from virtwatch_cli.scalars import key, resolve

MAX_BYTES = 2**20
MAX_VALUES = 50_000  # of a file; what aliases repeat counts each time
MAX_DEPTH = 64
MAX_DOCUMENTS = 1_000

_STEP = re.compile(r"[^.\[\]]+|\[[0-9]+\]")
_JSON_STRING_OR_TAB = re.compile(r'"(?:[^"\\]++|\\.)*+"|\t', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_TAGS = "tag:yaml.org,2002:"
# Written in C where PyYAML has that: ten times as fast.
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class UnreadableError(ValueError):
    """Say why a text cannot be read; `line` is 0 where it is the whole text."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Place:
    """Hold the line on which a value stands, and the places of the values in it."""

    line: int
    inner: "dict[str, Place] | list[Place] | None" = None
    size: int = 1  # values in all


@dataclass(frozen=True, slots=True)
class Document:
    """Hold one document, where its values stand, and what is wrong in how it is written.

    `prefix` is the path of a document that is an item of a list.
    """

    value: Any
    place: Place
    problems: tuple[Problem, ...] = ()
    prefix: str = ""

    def line(self, path: str) -> int:
        """Return the line of a field, or of the nearest thing around it that is there."""
        place = self.place
        for step in _STEP.findall(path):
            inner = _step(place, step)
            if inner is None:
                break
            place = inner
        return place.line

    def items(self) -> "Iterator[Document]":
        """Yield the documents that a list of objects holds, as `kubectl get -o yaml` writes it; else this one."""
        value = self.value if isinstance(self.value, dict) else {}
        items, kind = value.get("items"), value.get("kind")
        places = self.place.inner.get("items") if isinstance(self.place.inner, dict) else None
        if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list) and places is not None):
            yield self
            return
        for index, (item, place) in enumerate(zip(items, places.inner or (), strict=False)):
            prefix = f"items[{index}]"
            within = tuple(
                Problem(one.path.removeprefix(prefix).removeprefix("."), one.message)
                for one in self.problems
                if one.path.startswith(prefix)
            )
            assert isinstance(place, Place)
            yield from Document(item, place, within, f"{self.prefix}{prefix}.").items()


def read_documents(text: str) -> Iterator[Document]:
    """Read YAML or JSON; empty documents are left out.

    Raises:
        UnreadableError: the text is neither, or holds more than is bearable.
    """
    if text.lstrip("\ufeff \t\r\n").startswith("{"):  # as kubectl tells JSON
        text = _JSON_STRING_OR_TAB.sub(_json, text)
    composer = _Composer(text)
    try:
        yield from composer.documents()
    except yaml.MarkedYAMLError as error:
        # What is missing at the end is on the last line there is.
        line = min(error.problem_mark.line + 1, len(text.splitlines())) if error.problem_mark else 0
        raise UnreadableError(f"is not YAML: {error.problem or error.context}", line) from error
    except yaml.YAMLError as error:
        raise UnreadableError(f"is not YAML: {shown(' '.join(str(error).split()), at_most=200)}") from error


def _json(found: re.Match[str]) -> str:
    """Write JSON as YAML: a tab outside of strings is a space, and characters beyond U+FFFF are no pairs of halves."""
    if found[0] == "\t":
        return " "
    if "\\" not in found[0]:
        return found[0]
    return _ESCAPE.sub(
        lambda escape: (
            chr(0x10000 + ((int(escape[1], 16) & 0x3FF) << 10) + (int(escape[2], 16) & 0x3FF))
            if escape[1]
            else escape[0]
        ),
        found[0],
    )


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _step(place: Place, step: str) -> Place | None:
    if step.startswith("["):
        index = int(step[1:-1])
        return place.inner[index] if isinstance(place.inner, list) and index < len(place.inner) else None
    return place.inner.get(step) if isinstance(place.inner, dict) else None


@dataclass(slots=True)
class _Composer:
    """Make values of the parser's events; aliases share what they repeat."""

    text: str
    _events: Iterator[Any] = field(init=False)
    _anchors: dict[str, tuple[Any, Place] | None] = field(default_factory=dict)  # None: its value is not complete
    _problems: list[Problem] = field(default_factory=list)
    _left: int = MAX_VALUES

    def documents(self) -> Iterator[Document]:
        self._events = yaml.parse(self.text, Loader=_LOADER)
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > MAX_DOCUMENTS:
                    sentence = f"holds more than {MAX_DOCUMENTS:,} documents; split it"
                    raise UnreadableError(sentence, _line(event))
                self._anchors, self._problems = {}, []
                value, place = self._value(next(self._events), "", 0)
                if value is not None:
                    yield Document(value, place, tuple(self._problems))

    def _value(self, event: Any, path: str, depth: int) -> tuple[Any, Place]:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, line)
        self._spend(1, line)
        if depth > MAX_DEPTH:
            raise UnreadableError(f"is nested more than {MAX_DEPTH} levels deep", line)
        if event.anchor:
            self._anchors[event.anchor] = None
        place = Place(line)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(place, path, depth)
        else:
            value = self._mapping(place, path, depth)
        if event.anchor:
            self._anchors[event.anchor] = value, place
        return value, place

    def _alias(self, name: str | None, line: int) -> tuple[Any, Place]:
        if name is None or name not in self._anchors:
            raise UnreadableError(f'is not YAML: there is no anchor "{shown(name or "")}" before this line', line)
        found = self._anchors[name]
        if found is None:
            raise UnreadableError(f'the value of anchor "{shown(name)}" holds itself', line)
        value, place = found
        self._spend(place.size, line)
        return value, Place(line, place.inner, place.size)

    def _spend(self, values: int, line: int) -> None:
        self._left -= values
        if self._left < 0:
            sentence = f"holds more than {MAX_VALUES:,} values, with those that aliases repeat; split it"
            raise UnreadableError(sentence, line)

    def _sequence(self, place: Place, path: str, depth: int) -> list[Any]:
        values: list[Any] = []
        places: list[Place] = []
        place.inner = places
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            value, inner = self._value(event, f"{path}[{len(values)}]", depth + 1)
            values.append(value)
            places.append(inner)
            place.size += inner.size
        return values

    def _mapping(self, place: Place, path: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        places: dict[str, Place] = {}
        place.inner = places
        written: set[str] = set()
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name = self._key(event, path)
            value, inner = self._value(next(self._events), f"{path}.{name}" if path else name, depth + 1)
            place.size += inner.size
            if name == "<<" and event.implicit[0]:
                self._merge(value, inner, values, places)
                continue
            if name in written:
                self._problem(f"{path}.{name}" if path else name, "stands here twice; remove one")
            written.add(name)
            values[name] = value
            inner.line = _line(event)  # a field stands where its name does
            places[name] = inner
        return values

    def _merge(self, value: Any, place: Place, values: dict[str, Any], places: dict[str, Place]) -> None:
        """Add the fields of other mappings; of several, the first counts."""
        several = isinstance(value, list) and isinstance(place.inner, list)
        parts = list(zip(value, place.inner, strict=True)) if several else [(value, place)]  # type: ignore[arg-type]
        for part, inner in reversed(parts):
            if not isinstance(part, dict) or not isinstance(inner.inner, dict):
                raise UnreadableError("<< takes a mapping, or a list of mappings", place.line)
            values.update(part)
            places.update(inner.inner)

    def _key(self, event: Any, path: str) -> str:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            value, _ = self._alias(event.anchor, line)
        elif isinstance(event, yaml.ScalarEvent):
            self._spend(1, line)
            value = event.value if event.value == "<<" else self._scalar(event, path)
            if event.anchor:
                self._anchors[event.anchor] = value, Place(line)
        else:
            raise UnreadableError("is not YAML of Kubernetes: a key must be text, not a list or a mapping", line)
        name = key(value) if not isinstance(value, list | dict) else None
        if name is None:
            raise UnreadableError("a key must be text; quote it, or remove the empty key", line)
        return name

    def _scalar(self, event: Any, path: str) -> Any:
        tag = event.tag
        if tag in (None, "!"):
            value = resolve(event.value) if event.implicit[0] else event.value
        else:
            value = self._tagged(tag, event.value, path)
        if isinstance(value, float) and value - value != 0:
            self._problem(path, f"{value} is no number that Kubernetes has")
            return None
        return value

    def _tagged(self, tag: str, text: str, path: str) -> Any:
        name = tag.removeprefix(_TAGS)
        if tag.startswith(_TAGS) and name in ("str", "timestamp"):
            return text
        value = resolve(text)
        kinds: dict[str, tuple[type, ...]] = {
            "int": (int,),
            "float": (int, float),
            "bool": (bool,),
            "null": (type(None),),
        }
        fits = isinstance(value, kinds.get(name, ())) and (name == "bool" or not isinstance(value, bool))
        if tag.startswith(_TAGS) and fits:
            return value
        written = f"!!{name}" if tag.startswith(_TAGS) else tag
        self._problem(path, f'"{shown(text)}" cannot be read as {shown(written)}; remove the tag, or quote the text')
        return None

    def _problem(self, path: str, message: str) -> None:
        self._problems.append(Problem(path, message))
