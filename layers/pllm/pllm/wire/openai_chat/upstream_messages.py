"""A neutral conversation as Chat messages."""

from base64 import b64encode
from collections.abc import Iterator, Sequence

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.history import History, is_prefill, merge_turns, pair_tools
from pllm.wire.lane import Target
from pllm.wire.neutral import (
    Audio,
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Opaque,
    Part,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Url,
)
from pllm.wire.openai_chat.notes import Notes

_RESULT_BELOW = "(the result is attached to the next user message)"

_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


class MessageWriter:
    """Writes the messages of one request; what cannot be carried is refused or noted in `notes`."""

    def __init__(self, target: Target, notes: Notes) -> None:
        self._target = target
        self._notes = notes
        self._quirks = target.quirks
        self._marks = target.quirks.cache_marks if target.profile.supports_cache_marks else ""

    def write(self, request: Request) -> list[JsonObject]:
        written = list(self._system("system", request.system))
        for message in self._paired(request.messages):
            if message.role == "system":
                texts = tuple(part for part in message.parts if isinstance(part, Text))
                written += self._system("system", texts)
            elif message.role == "user":
                written += self._user(message)
            else:
                written += self._assistant(message)
        return written

    def _paired(self, messages: Sequence[Message]) -> Sequence[Message]:
        """As they are, if each call has its result; Chat minds neither repeated roles nor a late system message."""
        if not self._target.profile.supports_prefill and is_prefill(messages):
            raise invalid(
                f"Model {self._target.public_name!r} does not continue an assistant message; end with a user message.",
                messages[-1].path or "messages",
            )
        history: History = pair_tools(merge_turns(messages), repair=self._target.repair_history)
        self._notes.drop(*history.dropped)
        self._notes.emulate(*history.emulated)
        return history.turns if history.dropped or history.emulated else messages

    # --- System and user

    def _system(self, role: str, texts: tuple[Text, ...]) -> Iterator[JsonObject]:
        marked = any(text.cache for text in texts)
        if marked and self._marks:
            yield {"role": role, "content": [self._text(text) for text in texts]}
        elif texts:
            self._strip(marked)
            yield {"role": role, "content": "\n\n".join(text.text for text in texts)}

    def _user(self, message: Message) -> Iterator[JsonObject]:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        attached: list[JsonObject] = []
        for result in results:
            yield self._result(result, attached, message.path)
        parts = [part for part in message.parts if not isinstance(part, ToolResult)]
        if parts or attached:
            content = attached + self._contents(parts, message.path)
            spoken: JsonObject = {"role": "user", "content": _plain(content)}
            if content:
                yield {**spoken, "name": message.name} if message.name else spoken

    def _result(self, result: ToolResult, attached: list[JsonObject], path: str) -> JsonObject:
        """One message a result (case 3). The tool role carries text only: media goes on into the user message behind it,
        and a failed call says so in its text."""
        text = "\n".join(part.text for part in result.content if isinstance(part, Text))
        media = [part for part in result.content if not isinstance(part, Text)]
        if media:
            self._notes.emulate(f"{path}.tool_result.media")
            attached.append({"type": "text", "text": f"Attached to the result of tool call {result.call_id}:"})
            attached += self._contents(media, path)
        if result.is_error and not text.lower().startswith("error"):
            self._notes.emulate(f"{path}.tool_result.is_error")
            text = f"Error: {text}" if text else "Error"
        self._strip(any(part.cache for part in result.content))
        message: JsonObject = {
            "role": "tool",
            "tool_call_id": result.call_id,
            "content": text or (_RESULT_BELOW if media else ""),
        }
        if result.cache is not None:
            message["content"] = _plain([self._mark({"type": "text", "text": message["content"]}, result.cache)])
        return message

    def _contents(self, parts: Sequence[Part], path: str) -> list[JsonObject]:
        return [content for part in parts if (content := self._content(part, path)) is not None]

    def _content(self, part: Part, path: str) -> JsonObject | None:
        match part:
            case Text():
                return self._text(part)
            case Image():
                return self._image(part, path)
            case Audio():
                return self._audio(part, path)
            case Document():
                return self._document(part, path)
            case Opaque(dialect="chat"):
                return dict(part.raw)
            case Opaque():
                self._notes.refuse(f"{path}.content", f"it holds a {part.type!r} block of another dialect")
                return None
            case _:
                raise invalid(f"A user message cannot hold {type(part).__name__}.", path)

    def _text(self, part: Text) -> JsonObject:
        return self._mark({"type": "text", "text": part.text}, part.cache)

    def _image(self, part: Image, path: str) -> JsonObject:
        self._expect("image", path)
        match part.source:
            case Url(url):
                address = url
            case Inline(data, media_type):
                address = _data_url(data, media_type)
            case FileId(file_id):
                return self._mark({"type": "file", "file": {"file_id": file_id}}, part.cache)
        image: JsonObject = {"url": address}
        if part.detail:
            image["detail"] = part.detail
        return self._mark({"type": "image_url", "image_url": image}, part.cache)

    def _audio(self, part: Audio, path: str) -> JsonObject:
        self._expect("audio", path)
        if not isinstance(part.source, Inline):
            raise invalid("Audio must be sent as bytes (input_audio.data).", path)
        spelt = part.format or _AUDIO_FORMATS.get(part.source.media_type.lower(), "")
        if not spelt:
            raise invalid(f"Audio of type {part.source.media_type!r} is not supported; send wav or mp3.", path)
        return {"type": "input_audio", "input_audio": {"data": b64encode(part.source.data).decode(), "format": spelt}}

    def _document(self, part: Document, path: str) -> JsonObject:
        self._expect("file", path)
        name = part.name or "document.pdf"
        match part.source:
            case FileId(file_id):
                return self._mark({"type": "file", "file": {"file_id": file_id}}, part.cache)
            case Url():
                raise invalid("A file must be sent as bytes (file.file_data) or by file_id.", path)
            case Inline(data, media_type) if media_type.startswith("text/"):
                self._notes.emulate(f"{path}.file")
                text = data.decode("utf-8", "replace")
                return self._mark(
                    {"type": "text", "text": f'<document name="{part.name or "document"}">\n{text}\n</document>'}, part.cache
                )
            case Inline(data, media_type):
                return self._mark(
                    {"type": "file", "file": {"filename": name, "file_data": _data_url(data, media_type)}}, part.cache
                )

    def _expect(self, modality: str, path: str) -> None:
        if modality not in self._target.profile.modalities:
            raise invalid(f"Model {self._target.public_name!r} does not take {modality} input.", path)

    # --- Assistant

    def _assistant(self, message: Message) -> Iterator[JsonObject]:
        parts = message.parts
        texts = [part for part in parts if isinstance(part, Text)]
        calls = [self._call(part) for part in parts if isinstance(part, ToolCall)]
        refusals = [part.text for part in parts if isinstance(part, Refusal)]
        written: JsonObject = {"role": "assistant", "content": "".join(part.text for part in texts) or None}
        if message.name:
            written["name"] = message.name
        if any(part.cache for part in texts) and self._marks:
            written["content"] = [self._text(part) for part in texts if part.text]
        else:
            self._strip(any(part.cache for part in parts if isinstance(part, Text | ToolCall)))
        if refusals:
            written["refusal"] = "".join(refusals)
        self._reasoning(written, [part for part in parts if isinstance(part, Thinking)])
        for block in (part for part in parts if isinstance(part, Opaque)):
            self._opaque(written, calls, block, message.path)
        if calls:
            written["tool_calls"] = calls
        if written["content"] is None and not calls and not refusals and "audio" not in written:
            written["content"] = ""
        if len(written) > 2 or written["content"]:
            yield written

    def _call(self, call: ToolCall) -> JsonObject:
        written: JsonObject = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        if call.signature:
            written["extra_content"] = {"google": {"thought_signature": call.signature}}
        return written

    def _reasoning(self, written: JsonObject, thoughts: list[Thinking]) -> None:
        """Earlier thinking goes back only where the provider has a field for it; elsewhere it is left out (case 10)."""
        name = self._quirks.reasoning_field
        if not thoughts:
            return
        if name == "reasoning_details":
            details = [_detail(thought) for thought in thoughts if thought.origin.startswith("openrouter:")]
            if details:
                written[name] = details
        elif name and (text := "".join(thought.text for thought in thoughts)):
            written[name] = text
        if name not in written:
            self._notes.drop("thinking")

    def _opaque(self, written: JsonObject, calls: list[JsonObject], block: Opaque, path: str) -> None:
        if block.dialect == "chat" and block.type == "custom_tool_call":
            calls.append(dict(block.raw))
        elif block.dialect == "chat" and block.type == "audio":
            written["audio"] = {"id": block.raw.get("id")}
        else:
            self._notes.refuse(f"{path}.content", f"it holds a {block.type!r} block of another dialect")

    # --- Cache marks (case 22)

    def _mark(self, part: JsonObject, mark: CacheMark | None) -> JsonObject:
        if mark is None:
            return part
        if self._marks == "cache_control":
            ttl = {"ttl": mark.ttl} if mark.ttl != "5m" else {}
            return {**part, "cache_control": {"type": "ephemeral", **ttl}}
        if self._marks == "prompt_cache_breakpoint":
            return {**part, "prompt_cache_breakpoint": {"mode": "explicit"}}
        self._strip(True)
        return part

    def _strip(self, marked: bool) -> None:
        if marked:
            self._notes.drop("cache_control")


def _detail(thought: Thinking) -> JsonObject:
    told: JsonObject = {"type": "reasoning.text", "text": thought.text, "signature": thought.signature}
    if thought.redacted is not None:
        told = {"type": "reasoning.encrypted", "data": thought.redacted}
    if shape := thought.origin.removeprefix("openrouter:"):
        told["format"] = shape
    return {**told, "id": thought.id} if thought.id else told


def _plain(content: list[JsonObject]) -> str | list[JsonObject]:
    """A lone text as a string, which every provider takes."""
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        return str(content[0]["text"])
    return content


def _data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"
