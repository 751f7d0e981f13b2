"""`python -m lambda_stream.local module.attribute`: one function on a local port, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import logging
import os
from pathlib import Path

from lambda_stream.local import FunctionSpec, LocalLambda, Route


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lambda_stream.local", description="Serve an ASGI app as a local Lambda function."
    )
    parser.add_argument("handler", help="module.attribute of the ASGI app")
    parser.add_argument("--port", type=int, default=8080, help="the port on 127.0.0.1 (default: %(default)s; 0: any)")
    parser.add_argument("--code", type=Path, default=Path.cwd(), help="the folder the module lies in (default: this one)")
    parser.add_argument("--environments", type=int, default=4, help="how many run at once at most (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds an invocation may take (default: %(default)s)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME[=VALUE]", help="give a variable to the function")
    parser.add_argument("--buffered", action="store_true", help="serve without streaming, as sam local does")
    return parser.parse_args()


def _environment(given: list[str]) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in given)
    return {name: value if equals else os.environ.get(name, "") for name, equals, value in pairs}


async def _serve(arguments: argparse.Namespace) -> None:
    function = FunctionSpec(
        "function",
        arguments.handler,
        _environment(arguments.env),
        timeout_s=arguments.timeout,
        mode="buffered" if arguments.buffered else "stream",
        code_paths=(str(arguments.code.resolve()),),
    )
    async with LocalLambda(
        [function], [Route("function")], port=arguments.port, max_environments=arguments.environments
    ) as server:
        logging.getLogger("lambda_stream.local").warning("serving %s on %s", arguments.handler, server.url)
        await asyncio.Event().wait()


def main() -> None:
    """The command line."""
    logging.basicConfig(format="%(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(_arguments()))


if __name__ == "__main__":
    main()
