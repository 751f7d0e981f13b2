"""The endpoints, as data. https://platform.openai.com/docs/api-reference"""

from dataclasses import dataclass
from typing import Literal

Takes = Literal["json", "form", "either"]


@dataclass(frozen=True, slots=True)
class MediaEndpoint:
    """One endpoint.

    path: below `/v1` and below a provider's base URL alike. title: what it serves, in the plural. mode: the profile mode of
    the models that serve it. takes: what request bodies it has. answer_field: what every JSON answer holds. whole: the event
    that ends one result of an event stream ("" where there are none). audio: its answer is audio, relayed as it comes.
    defaults: which of a deployment's configured defaults it has a field for. generates: whether its answer may consist of
    tokens that are billed.
    """

    path: str
    title: str
    mode: str
    takes: Takes
    answer_field: str = ""
    whole: str = ""
    audio: bool = False
    defaults: frozenset[str] = frozenset()
    generates: bool = True


_ROWS = (
    MediaEndpoint(
        "embeddings",
        "embeddings",
        "embedding",
        "json",
        "data",
        defaults=frozenset({"dimensions", "input_type", "user"}),
        generates=False,
    ),
    MediaEndpoint(
        "images/generations",
        "images",
        "image",
        "json",
        "data",
        whole="image_generation.completed",
        defaults=frozenset({"n", "user"}),
    ),
    MediaEndpoint(
        "images/edits",
        "image edits",
        "image",
        "either",
        "data",
        whole="image_edit.completed",
        defaults=frozenset({"n", "user"}),
    ),
    MediaEndpoint("images/variations", "image variations", "image", "form", "data", defaults=frozenset({"n", "user"})),
    MediaEndpoint("audio/speech", "speech", "speech", "json", whole="speech.audio.done", audio=True),
    MediaEndpoint(
        "audio/transcriptions",
        "transcriptions",
        "transcription",
        "form",
        "text",
        whole="transcript.text.done",
        defaults=frozenset({"temperature"}),
    ),
    MediaEndpoint(
        "audio/translations", "audio translations", "transcription", "form", "text", defaults=frozenset({"temperature"})
    ),
    MediaEndpoint("moderations", "moderations", "moderation", "json", "results", generates=False),
    # Not OpenAI's: servers of its dialect have it in Cohere's and Jina's shape.
    MediaEndpoint("rerank", "rankings", "rerank", "json", "results", generates=False),
)

ENDPOINTS = {row.path: row for row in _ROWS}
"""By path."""
