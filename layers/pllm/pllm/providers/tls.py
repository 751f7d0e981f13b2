"""aiohttp, imported without the machine's certificates, and the context that has them.

As it is imported aiohttp makes two TLS contexts and reads every certificate of the machine into each: 22 ms of CPU apiece, an
eighth of a cold start together, one of them for connections that verify nobody, which a gateway never makes. Imported here both
stay empty, so that a connection that came to use them would trust nobody and fail; `verified` reads the certificates once.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def _without_certificates() -> Iterator[None]:
    read = ssl.SSLContext.set_default_verify_paths
    ssl.SSLContext.set_default_verify_paths = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        ssl.SSLContext.set_default_verify_paths = read  # type: ignore[method-assign]


with _without_certificates():
    import aiohttp

__all__ = ["aiohttp", "verified"]


@cache
def verified() -> ssl.SSLContext:
    """For connections to whoever can prove their name to this machine. Made by the first of them: where there is a table or a
    secret that is one of the cold start's own, while the CPU is whole."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context
