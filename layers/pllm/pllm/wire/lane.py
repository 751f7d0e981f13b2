"""The contract of a lane: how bytes are shaped, without IO, clock or environment.

A *lane* is one client's call against one deployment. The same-dialect lane edits the client's bytes; the translated lane
goes through the neutral form (see `wire.translator`). The pipeline cannot tell them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pllm.core.deployment import Deployment
from pllm.core.errors import GatewayError
from pllm.core.limit_estimate import Demand
from pllm.core.profile import ModelProfile
from pllm.wire.dialect import UpstreamDialect
from pllm.wire.produced import Produced
from pllm.wire.usage import Usage


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where a provider deviates from the dialect it speaks. Data of its registry row.

    token_cap: how an output cap is spelt upstream ("max_tokens" or "max_completion_tokens"; "" passes either as it came).
    refused: request fields (top level) the provider answers with an error. stream_usage: whether
    `stream_options.include_usage` may be sent. model_in_body: whether the body names the model.
    body: fields that every request to this provider carries (Vertex: anthropic_version). done_marker: whether streams end
    in `[DONE]`; where False, a finish_reason for every choice is the proof that a stream is whole. variant: which variant of
    the dialect, where one has several ("gemini" and "vertex" for Gemini's own API and Vertex AI; "" sends what both take).
    needs_bytes: part types whose addresses it does not fetch, beyond those of its dialect (Claude on Vertex AI).

    OpenAI Chat only: accepted: request fields beyond the dialect that this provider takes (top_k, ...). reasoning_field: the
    field of an assistant message in which earlier reasoning goes back ("reasoning_content", "reasoning",
    "reasoning_details"; "": none may). cache_marks: how a cache mark is spelt ("cache_control", "prompt_cache_breakpoint";
    "": there is none).
    """

    token_cap: str = ""
    refused: frozenset[str] = frozenset()
    stream_usage: bool = True
    model_in_body: bool = True
    done_marker: bool = True
    variant: str = ""
    needs_bytes: frozenset[str] = frozenset()
    accepted: frozenset[str] = frozenset()
    reasoning_field: str = ""
    cache_marks: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a request is encoded for.

    model: the provider's name for it. public_name: what the client called it (for messages). defaults: request fields,
    in OpenAI Chat's spelling, that hold where the client is silent. repair_history: mend orphaned tool calls (case 5).
    """

    model: str
    public_name: str
    provider: str
    profile: ModelProfile = field(default_factory=ModelProfile)
    quirks: Quirks = field(default_factory=Quirks)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    drop_unsupported: bool = False
    repair_history: bool = False


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What goes upstream, less address and credential.

    path: relative to the provider's base URL for this dialect ("chat/completions", "model/<id>/converse"), already
    percent-encoded. headers: those the wire needs; never credentials. stream_type: the content type under which a stream
    goes to the client, "" for the one that the upstream gives it. may_come_whole: the upstream may ignore the wish for a
    stream of events and answer whole, which then goes to the client so. copies: how many times it is sent at once; above 1
    the answers come in the frames of `wire.frames`. bodies: where one answer takes calls of different bodies, all of them
    (`body` is the first); then the lane is a GatheringLane.
    """

    path: str
    body: bytes
    model: str
    stream: bool
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    stream_type: str = "text/event-stream"
    may_come_whole: bool = False
    copies: int = 1
    bodies: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """What an answer needs that only the outside knows. `id_seed` is random hex for ids the provider did not give."""

    model: str
    created_s: int
    id_seed: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A buffered answer in the client's dialect. `estimated`: the provider did not say (all of) what it used."""

    body: bytes
    usage: Usage | None = None
    finish: str | None = None
    content_type: str = "application/json"
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """The answer to one call of several. `headers` has lower-case names; `number`: the place of its call among the `bodies`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    number: int = 0


class Relay(Protocol):
    """A stream on its way from the upstream to the client, as a state machine over bytes.

    `opened`: the provider's first event was seen, the status may be committed. `finished`: its terminal marker was seen.
    `error`: set once, when the stream broke or the provider reported an error; nothing of it was sent to the client yet.
    `usage` and `finish` are what is known so far.
    """

    @property
    def opened(self) -> bool: ...

    @property
    def finished(self) -> bool: ...

    @property
    def error(self) -> GatewayError | None: ...

    @property
    def usage(self) -> Usage | None: ...

    @property
    def finish(self) -> str | None: ...

    @property
    def produced(self) -> Produced | None:
        """What came since the last `usage`; None for an answer whose bytes say nothing of its price."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Bytes for the client. Check `error` after each call. Never raises."""
        ...

    def close(self) -> bytes:
        """The upstream closed the connection; sets `error` if it did so too early."""
        ...

    def fail(self, error: GatewayError) -> bytes | None:
        """The client dialect's explicit error event: the last bytes of a stream that broke. Never a clean end.
        None where the stream cannot hold one (audio): then it must be seen to be cut."""
        ...


class Lane(Protocol):
    """One client's call against one deployment."""

    @property
    def request(self) -> WireRequest: ...

    @property
    def dropped(self) -> tuple[str, ...]: ...

    @property
    def emulated(self) -> tuple[str, ...]: ...

    def answer(self, body: bytes, content_type: str) -> Answer:
        """Translate a buffered 2xx answer; raises GatewayError(UPSTREAM_PROTOCOL) when it is not the dialect's."""
        ...

    def relay(self) -> Relay: ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError: ...


class GatheringLane(Lane, Protocol):
    """A lane whose request has `bodies`. `answer` and `relay` are not asked of it."""

    def gathered(self, parts: Sequence[Part]) -> Answer:
        """One answer of the good answers to all calls, in their order. Its usage is that of these calls, without those that an
        earlier try kept. Raises GatewayError(UPSTREAM_PROTOCOL)."""
        ...

    def used(self, parts: Sequence[Part]) -> Usage | None:
        """What the calls used that were answered before another one failed; None where there were none. They may be kept, not
        to be made again when the request is tried once more. Never raises."""
        ...


class NativeCall(Protocol):
    """A call that has no neutral form, and makes its own lanes."""

    @property
    def demand(self) -> Demand: ...

    def refusal(self, deployment: Deployment) -> GatewayError | None:
        """Why this deployment cannot serve it, as a 400; None when it may."""
        ...

    def lane(self, deployment: Deployment, target: Target, context: AnswerContext) -> tuple[Lane, UpstreamDialect]:
        """The lane, and the dialect spoken on it. Raises GatewayError(400)."""
        ...
