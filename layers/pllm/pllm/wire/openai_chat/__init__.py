"""OpenAI Chat Completions, both as the dialect clients speak to us and as the one that upstreams understand."""

from pllm.wire.lane import UpstreamWire
from pllm.wire.openai_chat.lane import ChatLane
from pllm.wire.openai_chat.upstream import ChatUpstream

upstream: UpstreamWire = ChatUpstream()

__all__ = ["ChatLane", "upstream"]
