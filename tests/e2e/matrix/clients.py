"""The official SDKs, unchanged and blocking, asking for a feature in their own dialect."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from tests.e2e.matrix.features import ANSWER, CITY, ENCODED, Feature, Outcome

Ask = Callable[[str, str, Feature, bool, str], Outcome]
"""(gateway's address, model, feature, streamed?, picture's address) -> what came."""

KEY = "sk-test-master"
_SDKS: dict[str, openai.OpenAI | anthropic.Anthropic] = {}
_ARGUMENTS = json.dumps({"city": "Paris"})


def _openai(url: str) -> openai.OpenAI:
    """Made once: a client of its own for each call costs more than the call."""
    sdk = _SDKS.get(f"openai {url}") or openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)
    assert isinstance(sdk, openai.OpenAI)
    _SDKS[f"openai {url}"] = sdk
    return sdk


def _anthropic(url: str) -> anthropic.Anthropic:
    sdk = _SDKS.get(f"anthropic {url}") or anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0)
    assert isinstance(sdk, anthropic.Anthropic)
    _SDKS[f"anthropic {url}"] = sdk
    return sdk


def close_sdks() -> None:
    while _SDKS:
        _SDKS.popitem()[1].close()


# --- OpenAI Chat Completions --------------------------------------------------------------------------------------


def chat(url: str, model: str, feature: Feature, stream: bool, picture: str) -> Outcome:
    request: dict[str, Any] = {"model": model, "messages": _chat_messages(feature, picture)}
    if feature.tools:
        request["tools"] = [{"type": "function", "function": {"name": "get_weather", "parameters": CITY}}]
    if feature.thinking:
        request["reasoning_effort"] = "low"
    if feature.schema:
        shape = {"name": "answer", "schema": ANSWER, "strict": True}
        request["response_format"] = {"type": "json_schema", "json_schema": shape}
    create: Any = _openai(url).chat.completions.create
    if not stream:
        return _chat_outcome(create(**request))
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for chunk in create(**request, stream=True, stream_options={"include_usage": True}):
        state.handle_chunk(chunk)
    return _chat_outcome(state.get_final_completion())


def _chat_messages(feature: Feature, picture: str) -> Any:
    content: Any = feature.prompt
    if feature.image:
        url = picture if feature.image == "URL" else f"data:image/png;base64,{ENCODED}"
        content = [{"type": "text", "text": feature.prompt}, {"type": "image_url", "image_url": {"url": url}}]
    messages: list[Any] = [{"role": "user", "content": content}]
    if feature.tool_result:
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": _ARGUMENTS}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": "call_1", "content": "rain"})
    return messages


def _chat_outcome(answer: Any) -> Outcome:
    (choice,) = answer.choices
    message = choice.message
    return Outcome(
        message.content or "",
        tuple((call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()),
        (message.model_extra or {}).get("reasoning_content") or "",
        choice.finish_reason,
        (answer.usage.prompt_tokens, answer.usage.completion_tokens),
    )


# --- Anthropic Messages -------------------------------------------------------------------------------------------

_FINISH = {"end_turn": "stop", "tool_use": "tool_calls"}


def messages(url: str, model: str, feature: Feature, stream: bool, picture: str) -> Outcome:
    request: dict[str, Any] = {"model": model, "max_tokens": 4096, "messages": _turns(feature, picture)}
    if feature.tools:
        request["tools"] = [{"name": "get_weather", "input_schema": CITY}]
    if feature.thinking:
        request["thinking"] = {"type": "enabled", "budget_tokens": 2048}
    if feature.schema:
        request["output_config"] = {"format": {"type": "json_schema", "schema": ANSWER}}
    sdk = _anthropic(url)
    if not stream:
        return _message_outcome(sdk.messages.create(**request))
    with sdk.messages.stream(**request) as running:
        return _message_outcome(running.get_final_message())


def _turns(feature: Feature, picture: str) -> Any:
    content: Any = feature.prompt
    if feature.image:
        data = {"type": "base64", "media_type": "image/png", "data": ENCODED}
        source = {"type": "url", "url": picture} if feature.image == "URL" else data
        content = [{"type": "image", "source": source}, {"type": "text", "text": feature.prompt}]
    turns: list[Any] = [{"role": "user", "content": content}]
    if feature.tool_result:
        call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
        turns.append({"role": "assistant", "content": [call]})
        turns.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}]})
    return turns


def _message_outcome(answer: Any) -> Outcome:
    return Outcome(
        "".join(block.text for block in answer.content if block.type == "text"),
        tuple((block.name, block.input) for block in answer.content if block.type == "tool_use"),
        "".join(block.thinking for block in answer.content if block.type == "thinking"),
        _FINISH[answer.stop_reason],
        (answer.usage.input_tokens, answer.usage.output_tokens),
    )


# --- OpenAI Responses ---------------------------------------------------------------------------------------------


def responses(url: str, model: str, feature: Feature, stream: bool, picture: str) -> Outcome:
    request: dict[str, Any] = {"model": model, "input": _items(feature, picture), "store": False}
    if feature.tools:
        request["tools"] = [{"type": "function", "name": "get_weather", "parameters": CITY, "strict": False}]
    if feature.thinking:
        request["reasoning"] = {"effort": "low", "summary": "auto"}
    if feature.schema:
        request["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": ANSWER, "strict": True}}
    sdk = _openai(url)
    if not stream:
        return _response_outcome(sdk.responses.create(**request))
    with sdk.responses.stream(**request) as running:
        return _response_outcome(running.get_final_response())


def _items(feature: Feature, picture: str) -> Any:
    content: list[Any] = [{"type": "input_text", "text": feature.prompt}]
    if feature.image:
        url = picture if feature.image == "URL" else f"data:image/png;base64,{ENCODED}"
        content.append({"type": "input_image", "image_url": url, "detail": "auto"})
    items: list[Any] = [{"role": "user", "content": content}]
    if feature.tool_result:
        items.append({"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": _ARGUMENTS})
        items.append({"type": "function_call_output", "call_id": "call_1", "output": "rain"})
    return items


def _response_outcome(answer: Any) -> Outcome:
    calls = tuple((item.name, json.loads(item.arguments)) for item in answer.output if item.type == "function_call")
    thoughts = [part.text for item in answer.output if item.type == "reasoning" for part in item.summary]
    assert answer.status == "completed"
    return Outcome(
        answer.output_text,
        calls,
        "".join(thoughts),
        "tool_calls" if calls else "stop",
        (answer.usage.input_tokens, answer.usage.output_tokens),
    )


CLIENTS: dict[str, Ask] = {"Chat": chat, "Messages": messages, "Responses": responses}
ERRORS = (openai.APIError, anthropic.APIError)
