"""Protobuf's wire format, as far as bytes are put together here: messages in a field of another."""

FIXED64, _MESSAGE = 1, 2


def tag(number: int, kind: int) -> bytes:
    """Return what stands before a field of this number and kind."""
    return varint(number << 3 | kind)


def field(number: int, message: bytes) -> bytes:
    """Return a serialised message as the field of another."""
    return tag(number, _MESSAGE) + varint(len(message)) + message


def varint(number: int) -> bytes:
    """Return a number in as few bytes as it needs."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
