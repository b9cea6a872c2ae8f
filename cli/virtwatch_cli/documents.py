# The documents of a file's text, each with its nodes, which know their lines.
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from virtwatch_api.problem import Problem

_STEP = re.compile(r"[^.\[\]]+|\[[0-9]+\]")
_JSON_STRING_OR_TAB = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|\t', re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """Read an unquoted date as a string, as kubectl does: names and labels may look like one."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - where PyYAML looks for it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class Document:
    """Hold one document, and what is wrong in how it is written; half of a character is U+FFFD in it."""

    value: Any
    node: yaml.Node
    problems: tuple[Problem, ...]

    def line(self, path: str) -> int:
        """Return the line of a field, or of the nearest thing around it that is there."""
        node, line = self.node, self.node.start_mark.line + 1
        for step in _STEP.findall(path):
            inner = _step(node, step)
            if inner is None:
                break
            node, line = inner
        return line


def read_documents(text: str, *, json: bool) -> Iterator[Document]:
    """Read YAML, of which JSON is a part but for its tabs; empty documents are left out.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: the text is no YAML.
    """
    if json:  # a tab outside of strings is a space there
        text = _JSON_STRING_OR_TAB.sub(lambda found: " " if found[0] == "\t" else found[0], text)
    loader = _Loader(text)
    while loader.check_node():
        node = loader.get_node()
        if node is None:
            continue
        # Before it is constructed: that writes merged keys (<<) beside those that override them.
        problems = tuple(_problems(node, "", set()))
        value = loader.construct_document(node)
        if value is not None:
            yield Document(value, node, problems)


def _problems(node: yaml.Node, path: str, walked: set[int]) -> Iterator[Problem]:
    """Find keys that a mapping holds twice, of which YAML would silently take the last, and halves of characters.

    Aliases are walked once.
    """
    if isinstance(node, yaml.ScalarNode) and (half := _join_halves(node)):
        yield Problem(path, half)
    if id(node) in walked or not isinstance(node, yaml.CollectionNode):
        return
    walked.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _problems(item, f"{path}[{index}]", walked)
        return
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # it cannot be constructed, which will be said
        half = _join_halves(key)
        inner = f"{path}.{key.value}" if path else str(key.value)
        if half:
            yield Problem(inner, half)
        elif key.value in seen:
            yield Problem(inner, "stands here twice; remove one")
        seen.add(key.value)
        yield from _problems(value, inner, walked)


def _join_halves(node: yaml.ScalarNode) -> str:
    """Join the halves of characters beyond U+FFFF, which JSON writes so; return a sentence on one that stands alone."""
    if not _SURROGATE.search(node.value):
        return ""
    joined = node.value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    node.value = _SURROGATE.sub("\ufffd", joined)
    half = _SURROGATE.search(joined)
    return f"holds half of a character, \\u{ord(half[0]):04x}; write all of it or remove it" if half else ""


def _step(node: yaml.Node, step: str) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and step.startswith("["):
        index = int(step[1:-1])
        return (node.value[index], node.value[index].start_mark.line + 1) if index < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):  # of two, YAML takes the last
            if key.value == step:
                return value, key.start_mark.line + 1
    return None
