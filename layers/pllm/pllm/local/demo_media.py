"""The demo upstream's embeddings, rankings, images and moderations: valid, deterministic, and labelled as what they are."""

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import sqrt
from typing import Any

from aiohttp import web

_DIMENSIONS = 8
_SIDE_PX = 8
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


@dataclass(frozen=True, slots=True)
class DemoMedia:
    """`model` and `label` are what the answers call their maker."""

    model: str
    label: str

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/embeddings", self.embeddings)
        app.router.add_post("/v1/rerank", self.rerank)
        app.router.add_post("/v1/moderations", self.moderations)
        for path in ("generations", "edits", "variations"):
            app.router.add_post(f"/v1/images/{path}", self.images)

    async def embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        given = body.get("input")
        texts = given if isinstance(given, list) and not all(isinstance(item, int) for item in given) else [given]
        if not given:
            return refuse("'input' must be text or a list of texts.", "input")
        size = body.get("dimensions") or _DIMENSIONS
        as_base64 = body.get("encoding_format") == "base64"
        data = []
        for index, text in enumerate(texts):
            vector = unit_vector(json.dumps(text), size)
            shown: Any = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if as_base64 else vector
            data.append({"object": "embedding", "index": index, "embedding": shown})
        tokens = max(1, len(json.dumps(given)) // 4)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response({"object": "list", "data": data, "model": self.model, "usage": usage})

    async def rerank(self, request: web.Request) -> web.Response:
        """A document's score is the share of the query's words that it has."""
        body = await request.json()
        query, given = body.get("query"), body.get("documents")
        if not query or not given:
            return refuse("'query' and 'documents' must be a text and a list of texts.", "documents")
        texts = [one["text"] if isinstance(one, dict) else one for one in given]
        wanted = set(query.lower().split())
        scores = [len(wanted & set(text.lower().split())) / len(wanted) for text in texts]
        order = sorted(range(len(texts)), key=lambda place: (-scores[place], place))[: body.get("top_n") or len(texts)]
        shows = bool(body.get("return_documents"))
        results = [
            {"index": place, "relevance_score": scores[place], **({"document": {"text": texts[place]}} if shows else {})}
            for place in order
        ]
        tokens = max(1, len(json.dumps([query, *texts])) // 4)
        shown = {"id": f"rerank-demo-{_digest(body)[:16]}", "model": self.model, "results": results}
        return web.json_response({**shown, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

    async def moderations(self, request: web.Request) -> web.Response:
        """A category is flagged where its own name stands in the text: enough to see both outcomes."""
        body = await request.json()
        given = body.get("input")
        if not given:
            return refuse("'input' must be text or a list of texts.", "input")
        texts = given if isinstance(given, list) else [given]
        results = [_moderated(json.dumps(text).lower()) for text in texts]
        return web.json_response({"id": f"modr-demo-{_digest(given)[:16]}", "model": self.model, "results": results})

    async def images(self, request: web.Request) -> web.StreamResponse:
        asked = await fields(request)
        prompt = str(asked.get("prompt") or "no prompt")
        count = int(asked.get("n") or 1)
        pictures = [base64.b64encode(png(f"{prompt} {number}")).decode() for number in range(count)]
        tokens = max(1, len(prompt) // 4)
        usage = {
            "input_tokens": tokens,
            "output_tokens": count * _SIDE_PX * _SIDE_PX,
            "total_tokens": tokens + count * _SIDE_PX * _SIDE_PX,
            "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
        }
        if str(asked.get("stream")).lower() == "true":
            return await _stream(request, pictures, usage)
        words = f"{self.label} A square in the colour of: {prompt}"
        data = [{"b64_json": picture, "revised_prompt": words} for picture in pictures]
        return web.json_response({"created": 0, "data": data, "usage": usage})


async def fields(request: web.Request) -> Mapping[str, Any]:
    """The fields of a JSON body or of a form, files included."""
    if request.content_type == "application/json":
        body: dict[str, Any] = await request.json()
        return body
    return dict(await request.post())


def refuse(message: str, param: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return web.json_response({"error": error}, status=400)


async def send_events(request: web.Request, events: list[dict[str, Any]]) -> web.StreamResponse:
    """Events under their own names, as OpenAI sends them."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    for event in events:
        data = json.dumps(event, ensure_ascii=False)
        await response.write(f"event: {event['type']}\ndata: {data}\n\n".encode())
    return response


def unit_vector(text: str, size: int) -> list[float]:
    """A vector of length 1 that follows from the text. It has no meaning: near texts are not near."""
    raw = b"".join(sha256(f"{part} {text}".encode()).digest() for part in range(size * 2 // 32 + 1))
    numbers = [value / 32768 for value in struct.unpack(f"<{size}h", raw[: size * 2])]
    length = sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]


def png(text: str) -> bytes:
    """A small square in a colour that follows from the text."""
    row = b"\x00" + sha256(text.encode()).digest()[:3] * _SIDE_PX
    header = struct.pack(">IIBBBBB", _SIDE_PX, _SIDE_PX, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * _SIDE_PX)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


async def _stream(request: web.Request, pictures: list[str], usage: Mapping[str, Any]) -> web.StreamResponse:
    kind = "image_generation" if request.path.endswith("generations") else "image_edit"
    common = {
        "created_at": 0,
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "size": f"{_SIDE_PX}x{_SIDE_PX}",
    }
    events: list[dict[str, Any]] = []
    for picture in pictures:
        events.append({"type": f"{kind}.partial_image", "b64_json": picture, "partial_image_index": 0, **common})
        events.append({"type": f"{kind}.completed", "b64_json": picture, "usage": usage, **common})
    return await send_events(request, events)


def _moderated(text: str) -> dict[str, Any]:
    found = {name: name in text for name in _CATEGORIES}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: float(there) for name, there in found.items()},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
