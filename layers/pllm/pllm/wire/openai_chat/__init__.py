"""OpenAI Chat Completions, both as the dialect clients speak to us and as the one that upstreams understand.

`ChatLane` is the same-dialect lane. `client` and `upstream` translate to and from the neutral form; they load when first
asked for, since a gateway whose clients and upstreams all speak Chat never translates.
"""

from typing import TYPE_CHECKING

from pllm.wire.openai_chat.lane import ChatLane

if TYPE_CHECKING:
    from pllm.wire.translator import ClientWire, UpstreamWire

    client: ClientWire
    upstream: UpstreamWire

__all__ = ["ChatLane", "client", "upstream"]


def __getattr__(name: str) -> "ClientWire | UpstreamWire":
    if name == "client":
        from pllm.wire.openai_chat.client import ChatClient

        wire: ClientWire | UpstreamWire = ChatClient()
    elif name == "upstream":
        from pllm.wire.openai_chat.upstream import ChatUpstream

        wire = ChatUpstream()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = wire
    return wire
