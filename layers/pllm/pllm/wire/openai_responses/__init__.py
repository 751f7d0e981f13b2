"""OpenAI Responses, as the dialect clients speak to us and, natively, as the one some upstreams understand."""

from pllm.wire.openai_responses.client import ResponsesWire
from pllm.wire.openai_responses.history import with_history
from pllm.wire.openai_responses.lane import ResponsesLane
from pllm.wire.openai_responses.stored import StoredResponse, deletion, input_page, to_store

client = ResponsesWire()

__all__ = ["ResponsesLane", "ResponsesWire", "StoredResponse", "client", "deletion", "input_page", "to_store", "with_history"]
