"""OpenAI Chat Completions, both as the dialect clients speak to us and as the one that upstreams understand."""

from pllm.wire.openai_chat.lane import ChatLane

__all__ = ["ChatLane"]
