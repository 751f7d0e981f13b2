"""What is asked in every cell of the matrix, in nobody's dialect, and what has to come of it."""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Literal

# A picture of one point: providers look at the bytes, and so do we.
PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
ENCODED = b64encode(PNG).decode()

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
    "additionalProperties": False,
}

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What an SDK made of an answer. `finish` in OpenAI Chat's words, `tokens` as (prompt, completion)."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    thinking: str = ""
    finish: str = "stop"
    tokens: tuple[int, int] = (9, 5)


@dataclass(frozen=True)
class Feature:
    """`status`: the error that the provider answers with. `cut`: it breaks off in its stream. `tool_result`: the request ends
    with a tool's answer."""

    name: str
    prompt: str
    outcome: Outcome = Outcome()
    tools: bool = False
    tool_result: bool = False
    thinking: bool = False
    image: Literal["", "data", "URL"] = ""
    schema: bool = False
    status: int = 0
    cut: bool = False


PARIS: Call = ("get_weather", {"city": "Paris"})
ROME: Call = ("get_weather", {"city": "Rome"})

FEATURES = (
    Feature("text", "hello", Outcome("Hello there.")),
    Feature("tool call", "weather?", Outcome(calls=(PARIS,), finish="tool_calls"), tools=True),
    Feature("parallel calls", "weather twice?", Outcome(calls=(PARIS, ROME), finish="tool_calls"), tools=True),
    Feature("tool result", "weather?", Outcome("It rains."), tools=True, tool_result=True),
    Feature("thinking", "think", Outcome("forty-two", thinking="Let me think."), thinking=True),
    Feature("image as data", "hello", Outcome("Hello there."), image="data"),
    Feature("image by URL", "hello", Outcome("Hello there."), image="URL"),
    Feature("JSON schema", "as JSON", Outcome('{"answer": 42}'), schema=True),
    Feature("429", "answer 429", status=429),
    Feature("400", "answer 400", status=400),
    Feature("500", "answer 500", status=500),
    Feature("cut stream", "be cut", cut=True),
)
