"""The `pllm` command. Sub-commands are imported when asked for, so that `pllm --help` answers at once."""

import argparse
import sys
from functools import partial

from pllm import cli_breakers, cli_config, cli_keys, cli_models, cli_probe
from pllm.cli_arguments import address, file_name, whole_number
from pllm.cli_exit import ended


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; the return value is the process's exit code."""
    return ended(partial(_run, arguments))


def _run(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="pllm", description="The LLM gateway for AWS Lambda.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_local(commands)
    cli_config.add_parser(commands)
    cli_models.add_parser(commands)
    cli_probe.add_parser(commands)
    cli_keys.add_parser(commands)
    cli_breakers.add_parser(commands)
    parsed = parser.parse_args(arguments)
    result: int = parsed.run(parsed)
    return result


def _add_local(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    local = commands.add_parser("local", help="serve the gateway on this machine: the deployed code path, no account needed")
    local.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    local.add_argument(
        "--port", type=whole_number(0, 65_535), default=8787, help="port to listen on, 0 for any free one (default: 8787)"
    )
    local.add_argument(
        "--workers",
        type=whole_number(1, 1_000),
        default=4,
        help="most environments at once, as Lambda's concurrency (default: 4)",
    )
    local.add_argument(
        "--config", metavar="FILE", type=file_name, help="configuration (default: the packaged one, or the embedded model's)"
    )
    local.add_argument("--model", choices=("auto", "real", "demo"), help="what answers where no provider key is set")
    local.add_argument("--dynamodb-endpoint", metavar="URL", type=address, help="a DynamoDB to use instead of the embedded one")
    local.set_defaults(run=_local)


def _local(parsed: argparse.Namespace) -> int:
    from pllm.local.start import Options, run

    return run(Options(parsed.host, parsed.port, parsed.workers, parsed.config, parsed.model, parsed.dynamodb_endpoint))


if __name__ == "__main__":
    sys.exit(main())
