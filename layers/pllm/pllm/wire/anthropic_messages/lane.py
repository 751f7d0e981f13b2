"""The same-dialect lane: the client's Messages request goes upstream with named edits only, the answer comes back as it is.

Edited: the model's name; max_tokens over the model's limit; configured defaults where the client is silent; what every
request to this provider carries or must not carry; thinking that another provider signed, which Anthropic would refuse.
"""

from collections.abc import Mapping
from typing import Any

from pllm.core.errors import GatewayError, broken_stream, malformed_upstream
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.anthropic_messages import fields
from pllm.wire.anthropic_messages.decode_answer import read_message
from pllm.wire.anthropic_messages.encode_request import COUNT_PATH, PATH, counted_fields
from pllm.wire.anthropic_messages.errors import error_event, read_error
from pllm.wire.anthropic_messages.lane_defaults import FOREIGN_DEFAULTS, lay_defaults
from pllm.wire.anthropic_messages.parameters import strip_refused
from pllm.wire.anthropic_messages.report import Report
from pllm.wire.anthropic_messages.seal import is_foreign
from pllm.wire.anthropic_messages.stream_decoder import at_the_end, parse_event
from pllm.wire.anthropic_messages.vocabulary import finish_reason, read_usage
from pllm.wire.lane import Answer, Target, WireRequest
from pllm.wire.produced import Produced
from pllm.wire.sse import SseDecoder, SseError, SseEvent
from pllm.wire.usage import Usage

_SHOWN = frozenset({"text", "tool_use", "text_delta", "input_json_delta", "citations_delta"})
"""Blocks and deltas whose every token is in the stream."""


class MessagesLane:
    """One client's Messages call against a provider that speaks Messages."""

    def __init__(self, body: JsonObject, target: Target) -> None:
        """Raises GatewayError(400) for what the gateway itself relies on; the rest is the provider's to judge."""
        edited, report = edit(body, target)
        stream = fields.flag(body.get("stream"), "stream") is True
        self.request = WireRequest(PATH, dumps(edited), target.model, stream)
        self.dropped = report.all_dropped
        self.emulated = report.all_emulated

    def answer(self, body: bytes, content_type: str) -> Answer:
        message = read_message(body)
        usage = message.get("usage")
        return Answer(body, read_usage(usage) if isinstance(usage, dict) else None, finish_reason(message["stop_reason"]))

    def relay(self) -> "MessagesRelay":
        return MessagesRelay()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return read_error(status, headers, body)


def count_tokens_request(body: JsonObject, target: Target) -> WireRequest:
    """A client's count_tokens body as the provider's question, with the same edits as a call."""
    edited, _ = edit(body, target)
    return WireRequest(COUNT_PATH, dumps(counted_fields(edited, target)), target.model, False)


def edit(body: JsonObject, target: Target) -> tuple[JsonObject, Report]:
    """The body to send. `body` itself stays as it is."""
    fields.named(body.get("model"), "model")
    messages = fields.sequence(body.get("messages"), "messages")
    edited, defaulted = lay_defaults(body, target)
    report = Report(target, defaulted)
    report.dropped(*sorted(FOREIGN_DEFAULTS & target.defaults.keys()))
    edited["messages"] = _without_foreign_thinking(messages, report)
    limit, asked = target.profile.max_output_tokens, edited.get("max_tokens")
    if limit is not None and isinstance(asked, int) and asked > limit:
        edited["max_tokens"] = limit
        report.emulated("max_tokens")
    strip_refused(edited, target, report)
    if target.quirks.model_in_body:
        edited["model"] = target.model
    else:
        del edited["model"]
    edited.update(target.quirks.body)
    return edited, report


def _without_foreign_thinking(messages: list[Any], report: Report) -> list[Any]:
    """The same list when there is none; messages that held nothing else go."""
    if not any(_is_foreign_thinking(block) for message in messages for block in _assistant_blocks(message)):
        return messages
    kept = []
    for number, message in enumerate(messages):
        blocks = _assistant_blocks(message)
        own = [block for block in blocks if not _is_foreign_thinking(block)]
        if len(own) < len(blocks):
            report.dropped(f"messages[{number}].thinking")
            message = {**message, "content": own}
        if own or not blocks:
            kept.append(message)
    return kept


def _assistant_blocks(message: Any) -> list[Any]:
    content = message.get("content") if isinstance(message, dict) and message.get("role") == "assistant" else None
    return content if isinstance(content, list) else []


def _is_foreign_thinking(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "thinking" and is_foreign(block.get("signature"))


class MessagesRelay:
    """A stream passed on event by event, as received, while its usage, its end and its errors are read."""

    def __init__(self) -> None:
        self._sse = SseDecoder()
        self._raw_usage: JsonObject = {}
        self.produced = Produced(untold=False)
        self.opened = False
        self.finished = False
        self.error: GatewayError | None = None
        self.finish: str | None = None

    @property
    def usage(self) -> Usage | None:
        return read_usage(self._raw_usage) if self._raw_usage else None

    def feed(self, data: bytes) -> bytes:
        if self.error is not None or self.finished:
            return b""
        try:
            return self._pass_on(self._sse.feed(data))
        except SseError as error:
            self.error = malformed_upstream(str(error))
            return b""

    def close(self) -> bytes:
        if self.error is not None or self.finished:
            return b""
        written = self._pass_on(self._sse.close())
        if not self.finished:
            self.error = at_the_end(self.error)
        return written

    def fail(self, error: GatewayError) -> bytes:
        return error_event(error)

    def _pass_on(self, events: list[SseEvent]) -> bytes:
        passed: list[bytes] = []
        for event in events:
            try:
                if event.data is not None:
                    self._note(event.data)
            except GatewayError as error:
                self.error = error
                break
            passed.append(event.raw)
            if self.finished:
                break
        return b"".join(passed)

    def _note(self, data: bytes) -> None:
        event = parse_event(data)
        if not self.opened and event["type"] not in ("message_start", "ping"):
            raise malformed_upstream(f"{event['type']} came before message_start")
        match event["type"]:
            case "content_block_delta":
                self._note_content(event.get("delta"))
            case "content_block_start":
                self._note_content(event.get("content_block"))
            case "message_start":
                self.opened = True
                self._note_usage(event.get("message"))
            case "message_delta":
                self._note_usage(event)
                delta = event.get("delta")
                if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
                    self.finish = finish_reason(delta["stop_reason"])
            case "message_stop":
                if self.finish is None:
                    raise broken_stream("message_stop came without a stop_reason before it")
                self.finished = True
            case _:
                pass

    def _note_usage(self, holder: Any) -> None:
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            self._raw_usage.update({name: value for name, value in usage.items() if value is not None})
            self.produced.told(read_usage(self._raw_usage).output)

    def _note_content(self, content: Any) -> None:
        """Thinking is billed in full, and shown as a summary or not at all; what a server tool brings is read as well."""
        if not isinstance(content, dict):
            return
        if content.get("type") in _SHOWN:
            self.produced.value([value for name, value in content.items() if name not in ("type", "id")])
        else:
            self.produced.hidden = True
