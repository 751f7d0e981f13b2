"""The bytes of several calls in one stream, in frames that say which call they belong to."""

import struct
from collections.abc import Iterator

_HEAD = struct.Struct(">HI")


def frame(branch: int, data: bytes) -> bytes:
    """`data` of one call; empty data says that the call's body has ended."""
    return _HEAD.pack(branch, len(data)) + data


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(branch, data) of each frame; `data` holds whole frames, as they were made."""
    place = 0
    while place < len(data):
        branch, size = _HEAD.unpack_from(data, place)
        place += _HEAD.size
        yield branch, data[place : place + size]
        place += size


def bodies(data: bytes) -> list[bytes]:
    """The whole body of each call, in order."""
    found: dict[int, list[bytes]] = {}
    for branch, piece in frames(data):
        found.setdefault(branch, []).append(piece)
    return [b"".join(pieces) for _, pieces in sorted(found.items())]
