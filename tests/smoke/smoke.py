"""Checks a deployed gateway from outside: `make smoke URL=https://.../prod/v1 KEY=... [MODEL=name]`.

What only a real deployment can show: that the streaming runtime starts under the managed runtime's wrapper, that API Gateway
takes its prelude and relays a stream as it comes, and that both functions read their secret. It costs two short answers of
one model. Standard output has one line for each check; the exit code is 1 when one of them failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx
from openai import APIError, APIStatusError, OpenAI

KEY_VARIABLE = "PLLM_SMOKE_KEY"
PROMPT = "Count from one to thirty in words, separated by commas."
# A whole answer that arrives at once was buffered on its way.
SHORTEST_SPREAD_S = 0.05


class CheckError(Exception):
    """What was seen instead of what was promised."""


@dataclass(frozen=True)
class Deployment:
    """What is checked: `url` ends in /v1, `model` is one that the key may use."""

    url: str
    key: str
    model: str

    @property
    def root(self) -> str:
        """The address of the stage, where /health and /metrics are."""
        return self.url.removesuffix("/v1")

    def sdk(self) -> OpenAI:
        """The official SDK, unchanged; no retries, so that a first failure is seen."""
        return OpenAI(base_url=self.url, api_key=self.key, max_retries=0, timeout=120)

    def headers(self) -> dict[str, str]:
        """The credential, for requests that no SDK would send."""
        return {"authorization": f"Bearer {self.key}"}


Check = Callable[[Deployment], str]


def expect(seen: object, promised: object, what: str) -> None:
    """Raise CheckError unless both are equal."""
    if seen != promised:
        raise CheckError(f"{what} is {seen!r}, promised was {promised!r}")


def expect_error(answer: httpx.Response, status: int) -> str:
    """An error in OpenAI's shape; returns its message."""
    expect(answer.status_code, status, f"the status ({answer.text[:200]!r})")
    if not answer.headers.get("content-type", "").startswith("application/json"):
        raise CheckError(f"the content type is {answer.headers.get('content-type')!r}")
    error = answer.json().get("error", {})
    expect(set(error), {"message", "type", "param", "code"}, "the set of the error's fields")
    return str(error["message"])


def health(deployment: Deployment) -> str:
    """The data plane starts: the wrapper, the layers' path and the prelude are right."""
    answer = httpx.get(f"{deployment.root}/health", timeout=30)
    expect(answer.status_code, 200, f"the status ({answer.text[:200]!r})")
    if b"\0" in answer.content or "statusCode" in answer.text:
        raise CheckError(f"the runtime's prelude reached the client: {answer.content[:80]!r}")
    expect(answer.json()["status"], "ok", "health")
    return f"{answer.elapsed.total_seconds() * 1000:.0f} ms with a possible cold start"


def ready(deployment: Deployment) -> str:
    """Secret and configuration were read."""
    answer = httpx.get(f"{deployment.root}/ready", timeout=30)
    expect(answer.status_code, 200, f"the status ({answer.text[:300]!r})")
    return "secret and configuration are there"


def control_plane(deployment: Deployment) -> str:
    """The control plane starts, and lets nobody in without a key."""
    answer = httpx.get(f"{deployment.root}/metrics", timeout=30)
    expect_error(answer, 401)
    return "starts, and asks for a key"


def key_needed(deployment: Deployment) -> str:
    """No key and a wrong key are refused alike."""
    first = expect_error(httpx.get(f"{deployment.url}/models", timeout=30), 401)
    wrong = {"authorization": f"Bearer {deployment.key[:-1]}"}
    expect_error(httpx.get(f"{deployment.url}/models", headers=wrong, timeout=30), 401)
    return first


def bad_json(deployment: Deployment) -> str:
    """A body that is not JSON is refused with its place."""
    answer = httpx.post(f"{deployment.url}/chat/completions", content=b'{"model": }', headers=deployment.headers(), timeout=30)
    return expect_error(answer, 400)


def unknown_model(deployment: Deployment) -> str:
    """An unknown model is 404 in the SDK as well."""
    try:
        deployment.sdk().chat.completions.create(model=f"{deployment.model}x", messages=[{"role": "user", "content": "Hello"}])
    except APIStatusError as error:
        expect(error.status_code, 404, "the status")
        return error.message
    raise CheckError("a model that does not exist answered")


def models(deployment: Deployment) -> str:
    """The models the key may use."""
    names = [model.id for model in deployment.sdk().models.list()]
    if deployment.model not in names:
        raise CheckError(f"{deployment.model} is not among {names}")
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


def chat(deployment: Deployment) -> str:
    """One whole answer, its usage and the gateway's headers."""
    answer = deployment.sdk().chat.completions.with_raw_response.create(
        model=deployment.model, messages=[{"role": "user", "content": PROMPT}], max_tokens=200
    )
    missing = [name for name in ("x-request-id", "x-pllm-provider", "x-pllm-attempts") if name not in answer.headers]
    if missing:
        raise CheckError(f"headers are missing: {', '.join(missing)}")
    completion = answer.parse()
    if not completion.choices[0].message.content or completion.usage is None:
        raise CheckError(f"no text or no usage: {completion!r}")
    return f"{completion.usage.completion_tokens} tokens from {answer.headers['x-pllm-provider']}"


def stream(deployment: Deployment) -> str:
    """A stream arrives as it is made, not at its end."""
    started = time.perf_counter()
    arrivals: list[float] = []
    text = ""
    finished = None
    for chunk in deployment.sdk().chat.completions.create(
        model=deployment.model, messages=[{"role": "user", "content": PROMPT}], max_tokens=200, stream=True
    ):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finished = choice.finish_reason or finished
            arrivals.append(time.perf_counter() - started)
    if not text or finished is None:
        raise CheckError(f"the stream ended after {text!r} with finish_reason {finished!r}")
    spread = arrivals[-1] - arrivals[0]
    if spread < SHORTEST_SPREAD_S:
        raise CheckError(f"{len(arrivals)} chunks within {spread * 1000:.0f} ms: something on the way buffers the stream")
    return f"{len(arrivals)} chunks, the first after {arrivals[0]:.2f} s, the last after {arrivals[-1]:.2f} s"


def mirror(deployment: Deployment) -> str:
    """/api/v1 is /v1."""
    answer = httpx.get(f"{deployment.root}/api/v1/models", headers=deployment.headers(), timeout=30)
    expect(answer.status_code, 200, f"the status ({answer.text[:200]!r})")
    return "answers"


CHECKS: tuple[Check, ...] = (health, ready, control_plane, key_needed, models, bad_json, unknown_model, chat, stream, mirror)


def run(deployment: Deployment, checks: Sequence[Check] = CHECKS) -> Iterator[tuple[str, bool, str]]:
    """Name, verdict and detail of each check, as they are made."""
    for check in checks:
        try:
            yield check.__name__, True, check(deployment)
        except (CheckError, APIError, httpx.HTTPError, ValueError, KeyError) as error:
            yield check.__name__, False, f"{type(error).__name__}: {error}"


def first_model(url: str, key: str) -> str:
    """The first model that the key may use. Raises CheckError when there is none."""
    for model in OpenAI(base_url=url, api_key=key, max_retries=0, timeout=60).models.list():
        return model.id
    raise CheckError("the key may use no model")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the key comes from the environment, so that no process list shows it."""
    parser = argparse.ArgumentParser(prog="smoke.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="the stack's Url output; ends in /v1")
    parser.add_argument("--model", help="a model to ask (default: the first that the key may use)")
    options = parser.parse_args(arguments)
    key = os.environ.get(KEY_VARIABLE, "")
    url = options.url.rstrip("/")
    if not key or not url.endswith("/v1"):
        print(f"--url must end in /v1, and the key must be in {KEY_VARIABLE}", file=sys.stderr)
        return 2
    try:
        model = options.model or first_model(url, key)
    except (CheckError, APIError) as error:
        print(f"FAILED no model to ask: {type(error).__name__}: {error}", flush=True)
        return 1
    failed = 0
    for name, passed, detail in run(Deployment(url, key, model)):
        failed += not passed
        print(f"{'ok    ' if passed else 'FAILED'} {name:<14} {detail}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
