# Turns one CRD into a section of Markdown: its fields with type, bounds, default and description, and its rules.
import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = dict[str, Any]
_LONG_ENUM = 10  # values beyond which a table does not list them: the catalogue's pages do
_BOUNDS = (
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} entries"),
    ("format", "{}"),
)
_STANDARD = ("apiVersion", "kind", "metadata")


def crd_section(crd: Schema, *, elsewhere: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a kind's section; `elsewhere` says of fields where what is in them is described."""
    spec = crd["spec"]
    version = spec["versions"][0]
    names = spec["names"]
    schema = version["schema"]["openAPIV3Schema"]
    short = ", ".join(f"`{name}`" for name in names.get("shortNames", ()))
    yield f"## {names['kind']}"
    yield ""
    yield f"{_sentence(schema)} {spec['scope']}; short name {short}."
    yield ""
    yield "| field | type | default | description |"
    yield "| --- | --- | --- | --- |"
    for path, field, required in _fields(schema, "", elsewhere):
        default = field.get("default", {})
        shown = f"`{default if isinstance(default, str) else json.dumps(default)}`" if default not in ({}, []) else ""
        said = f"{_sentence(field)} Its fields are {elsewhere[path]}." if path in elsewhere else _sentence(field)
        name = f"`{path}`" + (" **required**" if required else "")
        yield f"| {name} | {_type(field)} | {shown} | {_cell(said)} |"
    yield ""
    rules = list(dict.fromkeys(_rules(schema, "", elsewhere)))
    if rules:
        yield f"What the API server refuses in a {names['kind']}:"
        yield ""
        for path, message in rules:
            yield f"* `{path}`: {message}"
        yield ""


def _fields(schema: Schema, path: str, elsewhere: Mapping[str, str]) -> Iterator[tuple[str, Schema, bool]]:
    for name, field in schema.get("properties", {}).items():
        if not path and name in _STANDARD:
            continue
        inner = f"{path}.{name}" if path else name
        yield inner, field, name in schema.get("required", ())
        if inner not in elsewhere:
            yield from _fields(field, inner, elsewhere)
            yield from _fields(field.get("items", {}), f"{inner}[]", elsewhere)


def _rules(schema: Schema, path: str, elsewhere: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path or "(object)", " ".join(rule["message"].split())
    if path not in elsewhere:
        for name, field in schema.get("properties", {}).items():
            yield from _rules(field, f"{path}.{name}" if path else name, elsewhere)
        if "items" in schema:
            yield from _rules(schema["items"], f"{path}[]", elsewhere)


def _type(field: Schema) -> str:
    if field.get("x-kubernetes-int-or-string"):
        kind = "number or string"
    elif field.get("type") == "array":
        kind = f"list of {field['items'].get('type', 'values')}s"
    elif "additionalProperties" in field:
        kind = "map"
    else:
        kind = field.get("type", "any")
    enum = field.get("enum", ())
    if 0 < len(enum) <= _LONG_ENUM:
        kind = "one of " + ", ".join(f"`{value}`" for value in enum)
    elif enum:
        kind = "name from the catalogue"
    bounds = [text.format(field[key]) for key, text in _BOUNDS if key in field]
    return _cell("; ".join((kind, *bounds)))


def _sentence(field: Schema) -> str:
    # Long lists of names (signals, events) stand on pages of their own.
    text, _, _ = field.get("description", "").partition("\n- ")
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
