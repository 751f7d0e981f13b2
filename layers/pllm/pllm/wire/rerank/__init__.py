"""Rankings of documents by a query, in the shape that Cohere and Jina share.

request: what the client wants. call: who can give it, and in which lane. lane: the answer. cohere, bedrock: how each API is
asked. Servers that speak OpenAI's dialect and have /rerank (vLLM, Jina, ...) get the client's own bytes.
"""

from pllm.wire.rerank.call import RerankCall

__all__ = ["RerankCall"]
