"""The demo upstream: an OpenAI-compatible server with no model behind it, and answers that say so.

It exists so that a first run, the tests and CI have a provider where no key and no model can be had. It is deterministic:
the answer follows from the request alone. `python -m pllm.local.demo --port 8101` serves it.
"""

import argparse
import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

from aiohttp import web

from pllm.local.demo_audio import DemoAudio
from pllm.local.demo_media import DemoMedia

MODEL = "demo"
LABEL = "[demo upstream, no model]"


def reply_text(body: dict[str, Any]) -> str:
    """What the demo says: its label, and the last user message back."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if schema is not None:
        return json.dumps(instance_of(schema), ensure_ascii=False)
    if (body.get("response_format") or {}).get("type") == "json_object":
        return json.dumps({"demo": True, "you_said": last_user_text(body)}, ensure_ascii=False)
    return f"{LABEL} You said: {last_user_text(body)}"


def last_user_text(body: dict[str, Any]) -> str:
    for message in reversed(body["messages"]):
        if message.get("role") in ("user", "tool"):
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return " ".join(part.get("text", f"<{part.get('type')}>") for part in content)
    return ""


def instance_of(schema: dict[str, Any]) -> Any:
    """The plainest value that a JSON Schema admits."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return instance_of(schema[key][0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: instance_of(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance_of(schema.get("items", {"type": "string"}))] * max(1, schema.get("minItems", 1))
    plain: dict[str, Any] = {"string": "demo", "integer": 1, "number": 1.5, "boolean": True, "null": None}
    return plain.get(kind)


def tool_calls(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls the demo makes: every tool once, with plain arguments, unless a result is already there."""
    choice = body.get("tool_choice", "auto")
    if not body.get("tools") or choice == "none" or body["messages"][-1].get("role") == "tool":
        return []
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    functions = [t["function"] for t in body["tools"] if t.get("type") == "function"]
    wanted = [f for f in functions if named in (None, f["name"])]
    if body.get("parallel_tool_calls") is False:
        wanted = wanted[:1]
    return [
        {
            "id": f"call_demo_{number}",
            "type": "function",
            "function": {"name": f["name"], "arguments": json.dumps(instance_of(f.get("parameters") or {}))},
        }
        for number, f in enumerate(wanted)
    ]


def usage_of(body: dict[str, Any], text: str) -> dict[str, Any]:
    """Four characters a token: an estimate, and the demo has no better."""
    prompt = max(1, len(json.dumps(body["messages"])) // 4)
    completion = max(1, len(text) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class Demo:
    """`delay_s` is the pause between two chunks of a stream, so that one can watch it flow."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self._delay_s = delay_s

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/v1/models", self.models)
        DemoMedia(MODEL, LABEL).add_to(app)
        DemoAudio(LABEL, self._delay_s).add_to(app)
        return app

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "demo", "created": 0}]}
        )

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("messages"):
            error = {"message": "'messages' is a required property", "type": "invalid_request_error", "param": "messages"}
            return web.json_response({"error": error | {"code": None}}, status=400)
        return await self._stream(request, body) if body.get("stream") else web.json_response(self._whole(body))

    def _whole(self, body: dict[str, Any]) -> dict[str, Any]:
        calls = tool_calls(body)
        text = "" if calls else reply_text(body)
        message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if calls else "stop"}
        usage = usage_of(body, text or json.dumps(calls))
        return _head(body, "chat.completion") | {"choices": [choice], "usage": usage}

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        async for chunk in self._chunks(body):
            await response.write(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _chunks(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        head = _head(body, "chat.completion.chunk")
        calls = tool_calls(body)
        text = "" if calls else reply_text(body)
        yield head | _delta({"role": "assistant", "content": None if calls else ""})
        for number, call in enumerate(calls):
            for delta in _call_deltas(number, call):
                yield head | _delta({"tool_calls": [delta]})
        for word in re.findall(r"\s*\S+\s*$|\s*\S+", text):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            yield head | _delta({"content": word})
        yield head | _delta({}, "tool_calls" if calls else "stop")
        if (body.get("stream_options") or {}).get("include_usage"):
            yield head | {"choices": [], "usage": usage_of(body, text or json.dumps(calls))}


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    digest = sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {"id": f"chatcmpl-demo-{digest[:16]}", "object": kind, "created": 0, "model": body.get("model", MODEL)}


def _delta(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}


def _call_deltas(number: int, call: dict[str, Any]) -> list[dict[str, Any]]:
    function = call["function"]
    half = len(function["arguments"]) // 2
    opening = {"name": function["name"], "arguments": ""}
    first = {"index": number, "id": call["id"], "type": "function", "function": opening}
    pieces = (function["arguments"][:half], function["arguments"][half:])
    return [first, *({"index": number, "function": {"arguments": piece}} for piece in pieces if piece)]


async def serve(host: str, port: int, delay_s: float) -> None:
    """Serves until cancelled; prints the base URL once it listens."""
    runner = web.AppRunner(Demo(delay_s).app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        print(f"http://{host}:{runner.addresses[0][1]}/v1", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8101, help="0 for any free one")
    parser.add_argument("--delay", type=float, default=0.03, help="seconds between two chunks of a stream")
    args = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(args.host, args.port, args.delay))


if __name__ == "__main__":
    main()
