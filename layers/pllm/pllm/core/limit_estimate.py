"""The most a request can use, before it is made: an upper bound, so that what is admitted can be paid for.

Every tokenizer in use falls back to single bytes, so text has at most as many tokens as bytes. That is generous (English
is near four bytes a token) and costs nothing but a larger reservation while the request runs: what was not used is given
back when it is settled.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pllm.core.limits import Reservation
from pllm.core.pricing import Counts, cost_micro_usd
from pllm.core.profile import Prices

FALLBACK_MAX_TOKENS = 4096
"""Reserved for the answer where neither the client nor the catalogue says how long it may be."""

# What providers bill for one attachment at most, by their own documents, where its size says nothing of it.
_TOKENS_PER_IMAGE = 6_000
_TOKENS_PER_FILE = 150_000
# 16 kHz speech at 32 kbit/s is 4 KB a second, and the dearest model bills 32 tokens a second.
_AUDIO_BYTES_PER_TOKEN = 125
# Tools make a provider add instructions of its own.
_TOKENS_FOR_TOOLS = 700
_TOKENS_PER_MESSAGE = 8

_MILLION = 1_000_000

_IMAGES = frozenset({"image", "image_url", "input_image"})
_AUDIO = frozenset({"audio", "input_audio"})
_FILES = frozenset({"file", "input_file", "document"})
_ATTACHMENTS = _IMAGES | _AUDIO | _FILES
# Where dialects put base64.
_PAYLOADS = frozenset({"data", "file_data", "bytes", "b64_json"})


@dataclass(frozen=True, slots=True)
class Demand:
    """What a call beside the text ones asks for. inputs: how many texts it has, each of which may be as long as a model takes.
    generates: whether its answer may consist of tokens that are billed. repeated_bytes: text that is read more often than
    it is sent. images, characters, search_units: what models without tokens are billed by, at most."""

    inputs: int = 1
    generates: bool = True
    repeated_bytes: int = 0
    images: int = 0
    characters: int = 0
    search_units: int = 0


_TEXT = Demand()


@dataclass(frozen=True, slots=True)
class Most:
    """The most that one request can use: tokens, `audio` of the prompt's, and the units of `demand`."""

    prompt: int
    answer: int
    audio: int = 0
    demand: Demand = _TEXT


@dataclass(frozen=True, slots=True)
class InputSize:
    """What a request carries. Bytes are UTF-8; `audio_bytes` are decoded ones."""

    text_bytes: int = 0
    messages: int = 0
    images: int = 0
    files: int = 0
    audio_bytes: int = 0
    tools: int = 0

    @property
    def audio_tokens(self) -> int:
        return -(-self.audio_bytes // _AUDIO_BYTES_PER_TOKEN)

    def tokens(self) -> int:
        """No provider counts more than this for it."""
        return (
            self.text_bytes
            + self.messages * _TOKENS_PER_MESSAGE
            + self.images * _TOKENS_PER_IMAGE
            + self.files * _TOKENS_PER_FILE
            + self.audio_tokens
            + (_TOKENS_FOR_TOOLS if self.tools else 0)
        )


def measure(body: Mapping[str, Any]) -> InputSize:
    """The size of a request body of any dialect. Field names count as text, as tools and schemas are shown to the model."""
    count = _Count()
    for name, value in body.items():
        count.text += len(name)
        count.walk(value, name)
    messages = next((body[name] for name in ("messages", "input") if name in body), ())
    tools = body.get("tools") or body.get("functions") or ()
    return InputSize(
        text_bytes=count.text,
        messages=len(messages) if isinstance(messages, list) else 1,
        images=count.images,
        files=count.files,
        audio_bytes=count.audio,
        tools=len(tools) if isinstance(tools, list) else 0,
    )


def most_tokens(
    size: InputSize,
    *,
    max_tokens: int | None = None,
    default_max_tokens: int | None = None,
    max_input_tokens: int | None = None,
    max_output_tokens: int | None = None,
    choices: int = 1,
    demand: Demand = _TEXT,
) -> Most:
    """`max_tokens` is the client's wish, the defaults and caps are the model's; `choices` is how many answers are asked for."""
    given = size.tokens() + demand.repeated_bytes
    prompt = given if max_input_tokens is None else min(given, demand.inputs * max_input_tokens)
    if not demand.generates:
        return Most(prompt, 0, min(size.audio_tokens, prompt), demand)
    wanted = max_tokens if max_tokens is not None else default_max_tokens or max_output_tokens or FALLBACK_MAX_TOKENS
    answer = choices * (wanted if max_output_tokens is None else min(wanted, max_output_tokens))
    return Most(prompt, answer, min(size.audio_tokens, prompt), demand)


def reserve(most: Most, prices: Prices | None = None) -> Reservation:
    """What to set aside for one request."""
    if prices is None:
        return Reservation(most.prompt + most.answer, 0, unpriced=True)
    known = (most_micro_usd(prices, most.prompt, most.answer), _pieces_micro_usd(prices, most.demand))
    costs = [cost for cost in known if cost is not None]
    return Reservation(most.prompt + most.answer, max(costs, default=0), unpriced=not costs)


def most_micro_usd(prices: Prices, prompt_tokens: int, output_tokens: int) -> int | None:
    """The highest bill for so many tokens, in micro-dollars, rounded up; None where the price of a plain token is unknown."""
    if prices.input is None or (prices.output is None and output_tokens):
        return None
    inputs = [prices.input, prices.cache_write_5m, prices.cache_write_1h, prices.cache_read, prices.audio_input]
    outputs = [prices.output, prices.reasoning, prices.audio_output]
    if prices.long_context_over is not None and prompt_tokens > prices.long_context_over:
        inputs += [prices.long_input, prices.long_cache_read]
        outputs.append(prices.long_output)
    total = prompt_tokens * _highest(inputs) + output_tokens * _highest(outputs)
    return -(-total // _MILLION)


def _pieces_micro_usd(prices: Prices, demand: Demand) -> int | None:
    """The bill of what is not billed by tokens; None where nothing of it is asked for, or its price is not known."""
    pieces = Counts(images=demand.images, characters=demand.characters, search_units=demand.search_units)
    return cost_micro_usd(pieces, prices) if pieces != Counts() else None


def _highest(prices: Iterable[int | None]) -> int:
    return max((price for price in prices if price is not None), default=0)


class _Count:
    """Adds up a body. Attachments are counted as such and not as the base64 they travel in."""

    def __init__(self) -> None:
        self.text = 0
        self.images = 0
        self.files = 0
        self.audio = 0

    def walk(self, value: Any, name: str, attachment: str = "") -> None:
        """`name` is the field that holds the value, `attachment` the type of the attachment it is part of."""
        match value:
            case str():
                self._string(value, name, attachment)
            case list():
                for one in value:
                    self.walk(one, name, attachment)
            case dict():
                self._object(value, attachment)
            case _:
                self.text += 8

    def _object(self, value: Mapping[str, Any], attachment: str) -> None:
        kind = value.get("type")
        if isinstance(kind, str) and kind in _ATTACHMENTS and not attachment:
            attachment = kind
            self.images += kind in _IMAGES
            self.files += kind in _FILES
        plain = attachment in _FILES and kind == "text"  # a document that travels as text
        for name, inner in value.items():
            self.text += len(name)
            self.walk(inner, name, "" if plain else attachment)

    def _string(self, value: str, name: str, attachment: str) -> None:
        if attachment and (name in _PAYLOADS or value.startswith("data:")):
            self.audio += len(value) * 3 // 4 if attachment in _AUDIO else 0
        else:
            self.text += len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
