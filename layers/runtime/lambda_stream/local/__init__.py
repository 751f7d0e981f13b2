"""Lambda and API Gateway on a laptop, as far as a streamed HTTP function can tell.

`LocalLambda` serves HTTP on a loopback port, turns requests into REST API events, hands them to real `python -m lambda_stream`
processes through a Runtime API of its own, and relays what they stream, chunk by chunk. Needs aiohttp (extra `local`).
"""

from lambda_stream.local.server import LocalLambda
from lambda_stream.local.specs import FunctionSpec, Limits, Route

__all__ = ["FunctionSpec", "Limits", "LocalLambda", "Route"]
