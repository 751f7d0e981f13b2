"""OpenAI's legacy Completions: natively where an upstream has them, else mapped onto a conversation of one user message."""

from pllm.wire.openai_completions.client import CompletionsWire
from pllm.wire.openai_completions.lane import CompletionsLane

client = CompletionsWire()

__all__ = ["CompletionsLane", "CompletionsWire", "client"]
