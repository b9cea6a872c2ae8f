"""Attributes as OTLP writes them."""

from collections.abc import Iterable

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def key_values(attributes: Iterable[tuple[str, str]]) -> list[KeyValue]:
    """Write attributes."""
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes]
