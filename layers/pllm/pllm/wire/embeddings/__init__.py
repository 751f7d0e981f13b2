"""Embeddings of providers that do not speak OpenAI's dialect, asked for and answered as OpenAI's.

request: what the client wants. call: who can give it, and in which lane. lane, answer: several upstream calls as one answer.
titan, cohere, google: how each API is asked and answers. An API's module is loaded when a deployment of it is first used.
"""

from pllm.wire.embeddings.call import EmbeddingsCall

__all__ = ["EmbeddingsCall"]
