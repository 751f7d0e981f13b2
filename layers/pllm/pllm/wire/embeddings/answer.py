"""The answer as OpenAI gives it, put together from vectors that are let go of one by one: a list of texts may have megabytes of
them, and a number is eight times as large in memory as on the wire."""

import struct
from base64 import b64encode
from collections.abc import Sequence

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import dumps
from pllm.wire.embeddings.api import Vector
from pllm.wire.embeddings.request import EncodingFormat


def encode_vector(vector: Vector, place: int, encoding_format: EncodingFormat) -> bytes:
    """One entry of `data`. `encoding_format` base64: little-endian float32, which OpenAI's SDKs ask for by themselves."""
    shown = _base64(vector) if encoding_format == "base64" else vector
    return dumps({"object": "embedding", "index": place, "embedding": shown})


def encode_answer(entries: Sequence[bytes], model: str, tokens: int) -> bytes:
    """`entries`: of encode_vector, in order."""
    usage = dumps({"prompt_tokens": tokens, "total_tokens": tokens})
    head, tail = b'{"object":"list","data":[', b'],"model":' + dumps(model) + b',"usage":' + usage + b"}"
    return head + b",".join(entries) + tail


def _base64(vector: Vector) -> str:
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
    except (OverflowError, struct.error):
        raise malformed_upstream("an embedding has a number beyond a 32-bit float") from None
