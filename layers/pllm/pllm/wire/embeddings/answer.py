"""The answer as OpenAI gives it."""

import struct
from base64 import b64encode
from collections.abc import Sequence

from pllm.core.errors import malformed_upstream
from pllm.core.jsontext import dumps
from pllm.wire.embeddings.api import Vector
from pllm.wire.embeddings.request import EncodingFormat


def encode_answer(vectors: Sequence[Vector], encoding_format: EncodingFormat, model: str, tokens: int) -> bytes:
    """`encoding_format` base64: little-endian float32, which OpenAI's SDKs ask for by themselves."""
    data = [
        {"object": "embedding", "index": place, "embedding": _base64(vector) if encoding_format == "base64" else vector}
        for place, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return dumps({"object": "list", "data": data, "model": model, "usage": usage})


def _base64(vector: Vector) -> str:
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
    except (OverflowError, struct.error):
        raise malformed_upstream("an embedding has a number beyond a 32-bit float") from None
