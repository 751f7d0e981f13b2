"""Pictures made by models that do not speak OpenAI's dialect, asked for and answered as OpenAI's.

request: what the client wants. call: who can make it, and in which lane. lane: the answer. amazon, imagen: how each API is
asked.
"""

from pllm.wire.images.call import ImagesCall

__all__ = ["ImagesCall"]
