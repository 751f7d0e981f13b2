"""Answers with the environment variables of its process."""

import json
import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


async def variables(request: Request) -> Response:
    return PlainTextResponse(json.dumps(dict(os.environ)))


app = Starlette(routes=[Route("/", variables)])
