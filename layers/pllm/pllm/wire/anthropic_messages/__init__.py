"""Anthropic Messages, as a provider speaks it (`upstream`), as a client does (`client`), and unchanged (`MessagesLane`)."""

from pllm.wire.anthropic_messages.count_tokens import decode_count_request, decode_token_count, encode_token_count
from pllm.wire.anthropic_messages.encode_request import encode_count_tokens
from pllm.wire.anthropic_messages.lane import MessagesLane, MessagesRelay, count_tokens_request
from pllm.wire.anthropic_messages.url_sources import url_sources, with_inline_sources
from pllm.wire.anthropic_messages.wires import MessagesClient, MessagesUpstream
from pllm.wire.translator import ClientWire, UpstreamWire

upstream: UpstreamWire = MessagesUpstream()
client: ClientWire = MessagesClient()

__all__ = [
    "MessagesLane",
    "MessagesRelay",
    "client",
    "count_tokens_request",
    "decode_count_request",
    "decode_token_count",
    "encode_count_tokens",
    "encode_token_count",
    "upstream",
    "url_sources",
    "with_inline_sources",
]
