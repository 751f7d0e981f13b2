"""What the browser is shown: a gateway with traffic behind it, whose names and errors try to be markup and scripts."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.support.processes import LOCAL_KEY, Running, pllm_local
from tests.support.served import Served, served

BAIT = "<img src=x onerror=\"complain('a script ran')\"></script><script>complain('a script ran')</script>"
"""Becomes a complaint of the page (tests/support/browser.py) wherever it is taken for more than text."""

ODD_MODEL = ("'\"&lt;\u202e" + BAIT + "\u202c" + "long" * 50)[:200]
ODD_ALIAS = "{{alias}}" + BAIT
ODD_ROUTE = "route " + BAIT
# A key's name may be long, but has no characters that are not shown.
ODD_KEY = ("'\"" + BAIT + "\u05d0\u05d1 long" * 50)[:128].strip()
ODD_ERROR = f"upstream says {BAIT}\u202e"

_PRICES = {"input_cost_per_token": 0.000_001, "output_cost_per_token": 0.000_003}
_FAILING, _CUT, _REFUSING, _SLOW = "failing", "cut", "refusing", "slow"


@dataclass
class Provider:
    """An upstream whose behaviour is its model's name. `asked` counts its requests by that name; a slow one says its first
    word and goes on when it is `released`."""

    asked: Counter[str] = field(default_factory=Counter)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        model = body["model"]
        self.asked[model] += 1
        if model in (_FAILING, _REFUSING):
            error = {"message": ODD_ERROR, "type": "odd_error", "code": BAIT}
            return JSONResponse({"error": error}, 500 if model == _FAILING else 400)
        words = ["You ", "said: ", str(body["messages"][-1]["content"])]
        if body.get("stream"):
            waits = self.released if model == _SLOW else None
            return StreamingResponse(_events(words, waits, cut=model == _CUT), media_type="text/event-stream")
        message = {"role": "assistant", "content": "".join(words)}
        return JSONResponse(
            {"id": "1", "object": "chat.completion", "created": 1, "model": model, "usage": _usage(words)}
            | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        )


def _usage(words: list[str]) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": len(words), "total_tokens": 10 + len(words)}


async def _events(words: list[str], waits: asyncio.Event | None, *, cut: bool) -> AsyncIterator[bytes]:
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    for word in words:
        yield _event({**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        if waits is not None:
            await waits.wait()
    if cut:
        raise ConnectionResetError("the stream is cut here, on purpose")
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield _event({**head, "choices": [], "usage": _usage(words)})
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def configuration(upstream: str, **more: Any) -> dict[str, Any]:
    """`smart` has two deployments, `weak` falls back, `broken` is cut in mid-stream, `slow` waits there, `down` always fails,
    `refusing` blames the client; then the odd one."""

    def entry(name: str, model: str, priority: int = 0) -> dict[str, Any]:
        params = {"model": f"compatible/{model}", "api_base": f"{upstream}/v1"}
        return {"model_name": name, "params": params, "priority": priority, "model_info": _PRICES}

    return {
        "model_list": [
            entry("smart", "primary"),
            entry("smart", "secondary", 1),
            entry("weak", _FAILING),
            entry("weak", "secondary", 1),
            entry("down", _FAILING),
            entry("broken", _CUT),
            entry("slow", _SLOW),
            entry("refusing", _REFUSING),
            entry(ODD_MODEL, "odd"),
        ],
        "model_aliases": {"default": ["smart", "weak"], ODD_ALIAS: ["smart"]},
        "routes": [{"slug": "team", "name": ODD_ROUTE, "models": [{"model_name": "smart", "weight": 3}, "weak"]}],
        "router": {"routing_strategy": "priority", "retries": 0, "fallbacks": {"weak": ["smart"]}},
        "usage": "exact",
    } | more


@dataclass
class World:
    """`gateway` is a `pllm local`, `upstream` the one provider behind it."""

    gateway: Running
    upstream: Served[Provider]

    @property
    def provider(self) -> Provider:
        return self.upstream.made

    def release(self) -> None:
        """Lets the slow one go on."""
        self.upstream.call(self.provider.released.set)

    @property
    def url(self) -> str:
        return self.gateway.url

    def ask(self, model: str, text: str = "hello", *, key: str = LOCAL_KEY, stream: bool = False) -> httpx.Response:
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=_bearer(key), timeout=30)

    def settled(self) -> None:
        """Waits until all that was answered is also counted: a worker takes the next request when the last one is settled. Only
        where there is one worker."""
        assert httpx.get(f"{self.url}/health", timeout=30).is_success

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer of the control plane that must be a success."""
        answer = httpx.request(method, f"{self.url}{path}", json=body, headers=_bearer(LOCAL_KEY), timeout=30)
        assert answer.is_success, answer.text
        return answer.json()


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@contextmanager
def world(folder: Path, workers: int = 2) -> Iterator[World]:
    """A running gateway that has answered a little of everything. `workers`: of each function."""
    with served(_provider, _app) as upstream, _gateway(folder, upstream, workers) as gateway:
        opened = World(gateway, upstream)
        _live(opened)
        yield opened


@asynccontextmanager
async def _provider() -> AsyncIterator[Provider]:
    yield Provider()


def _app(provider: Provider) -> Starlette:
    return Starlette(routes=[Route("/v1/chat/completions", provider.answer, methods=["POST"])])


@contextmanager
def _gateway(folder: Path, upstream: Served[Provider], workers: int) -> Iterator[Running]:
    config = folder / "config.yaml"
    config.write_text(json.dumps(configuration(upstream.url)), "utf-8")
    with pllm_local("--workers", str(workers), "--config", str(config)) as running:
        yield running


def _live(opened: World) -> None:
    opened.admin("POST", "/api/admin/teams", {"id": "red", "name": f"Red {BAIT}"[:128]})
    made = opened.admin("POST", "/api/admin/keys", {"name": ODD_KEY, "team": "red", "rpm": 1000})
    for model in ("smart", "weak", "down", "nobody", ODD_MODEL, ODD_ALIAS):
        opened.ask(model, key=made["key"])
        opened.ask(model, stream=True)
    opened.ask("smart", key="sk-wrong")
