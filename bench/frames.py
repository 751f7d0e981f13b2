"""Bedrock's ConverseStream as AWS frames it, written here apart from the gateway's own code."""

import json
import struct
from zlib import crc32

_STRING = 7


def converse(events: int) -> list[bytes]:
    """A whole answer with `events` pieces of text, one frame each."""
    usage = {"inputTokens": 500, "outputTokens": 300, "totalTokens": 800}
    texts = [{"contentBlockIndex": 0, "delta": {"text": f" bench-@@@@@@@@.{number:04}"}} for number in range(events)]
    return [
        _frame("messageStart", {"role": "assistant"}),
        *(_frame("contentBlockDelta", text) for text in texts),
        _frame("contentBlockStop", {"contentBlockIndex": 0}),
        _frame("messageStop", {"stopReason": "end_turn"}),
        _frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}}),
    ]


def _frame(event: str, payload: dict[str, object]) -> bytes:
    named = {":event-type": event, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + struct.pack(">BH", _STRING, len(value)) + value.encode()
        for name, value in named.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 12 + len(headers) + len(body) + 4, len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers + body
    return message + struct.pack(">I", crc32(message))
