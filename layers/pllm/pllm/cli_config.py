"""`pllm config check | compile | reference`: a configuration looked at before it is put to use. What changes a running
gateway is in cli_versions.py."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pllm import cli_versions
from pllm.cli_arguments import file_name
from pllm.core.config import (
    CompiledConfig,
    Config,
    ConfigError,
    ModelEntry,
    compile_config,
    is_compiled,
    load_compiled,
)
from pllm.core.config.loader import LoadedConfig, load
from pllm.core.config.plain import to_plain
from pllm.core.config.resolve import used_variables
from pllm.core.config.section import Section, set_fields

if TYPE_CHECKING:
    from pllm.providers.deployments import ProfileOf

OK, REFUSED, UNREADABLE = 0, 1, 2
"""Exit codes: all well; the configuration is refused; a file cannot be read or written."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `config` with its commands; each sets `run`, a function of the parsed arguments that returns the exit code."""
    config = subparsers.add_parser("config", help="check, compile, publish and describe configurations")
    commands = config.add_subparsers(dest="config_command", required=True, metavar="COMMAND")
    _command(
        commands, "check", "print what a configuration means, or everything that is wrong with it", lambda a: check(a.file)
    )
    maker = _command(commands, "compile", "make the JSON that a cold start reads", lambda a: compile_file(a.file, a.output))
    maker.add_argument(
        "-o", "--output", metavar="OUT", type=file_name, default="-", help="file to write (default: standard output)"
    )
    pages = commands.add_parser("reference", help="print docs/config-reference.md")
    pages.add_argument(
        "-o", "--output", metavar="OUT", type=file_name, default="-", help="file to write (default: standard output)"
    )
    pages.set_defaults(run=lambda a: write_reference(a.output))
    cli_versions.add_commands(commands)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    about: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about)
    parser.add_argument(
        "file", metavar="FILE", type=file_name, help="YAML, JSON or compiled configuration; - for standard input"
    )
    parser.set_defaults(run=run)
    return parser


def check(path: str, environment: Mapping[str, str] | None = None, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Print what the file means to `out`, its errors and warnings to `err`; return the exit code."""
    out, err = out or sys.stdout, err or sys.stderr
    loaded = _loaded(path, err)
    if isinstance(loaded, int):
        return loaded
    environment = os.environ if environment is None else environment
    err.writelines(f"{warning}\n" for warning in loaded.warnings)
    out.writelines(f"{line}\n" for line in describe(loaded.config, environment))
    return _check_start(loaded.config, path, environment, out, err)


def _check_start(config: Config, path: str, environment: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """What would happen if the gateway started with this environment."""
    from pllm.providers.outlook import outlook  # with all providers: for this command alone
    from pllm.providers.registry import Registry

    try:
        warnings = outlook(config, environment, Registry(), path, _packaged_profiles())
    except ConfigError as error:
        out.write("With this environment the gateway would not start:\n")
        out.writelines(f"  {problem}\n" for problem in error.problems)
        return OK
    err.writelines(f"{warning}\n" for warning in warnings)
    return OK


def _packaged_profiles() -> "ProfileOf":
    """What the packaged catalogue knows of models."""
    from pllm.core import catalogue  # for this command alone

    packaged = catalogue.parse(Path(catalogue.__file__).with_name(catalogue.PACKAGED).read_bytes(), catalogue.PACKAGED)
    return partial(packaged.profile_of, today=packaged.version)


def compile_file(path: str, output: str, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Write the compiled form of a configuration; its warnings go to `err`."""
    out, err = out or sys.stdout, err or sys.stderr
    loaded = _loaded(path, err)
    if isinstance(loaded, int):
        return loaded
    if output != "-" and path != "-" and Path(output).resolve() == Path(path).resolve():
        err.write(f"{path}: error: the output would overwrite the configuration itself\n")
        return UNREADABLE
    err.writelines(f"{warning}\n" for warning in loaded.warnings)
    return _write(output, compile_config(loaded.config, loaded.warnings, Path(path).name).decode() + "\n", out, err)


def write_reference(output: str, out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Write the reference page."""
    from pllm.core.config.reference import reference

    return _write(output, reference(), out or sys.stdout, err or sys.stderr)


def _loaded(path: str, err: TextIO) -> LoadedConfig | CompiledConfig | int:
    """The configuration in a file, or the exit code after saying why there is none."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
        return _parsed(text, path)
    except (OSError, ImportError) as error:
        err.write(f"{path}: error: {getattr(error, 'strerror', None) or error}\n")
        return UNREADABLE
    except UnicodeDecodeError as error:
        err.write(f"{path}: error: not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {error.start}\n")
        return REFUSED
    except ConfigError as error:
        errors = sum(problem.severity == "error" for problem in error.problems)
        err.writelines(f"{problem}\n" for problem in error.problems)
        err.write(f"{path}: refused: {_count(errors, 'error')}\n")
        return REFUSED


def _parsed(text: str, path: str) -> LoadedConfig | CompiledConfig:
    if text.lstrip()[:1] == "{" and '"pllm_config"' in text:
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if is_compiled(document):
            return load_compiled(text, path)
    return load(text, path)


def _write(output: str, text: str, out: TextIO, err: TextIO) -> int:
    if output == "-":
        out.write(text)
        return OK
    try:
        Path(output).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        err.write(f"{output}: error: {error.strerror}\n")
        return UNREADABLE
    return OK


def describe(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """What a configuration means, line by line; credentials appear as the variables that hold them."""
    models = Counter(entry.model_name for entry in config.model_list)
    yield f"{_count(len(config.model_list), 'deployment')} of {_count(len(models), 'model')}"
    for entry in config.model_list:
        yield f"  {_entry(entry)}"
    yield from _listing("aliases", {name: ", ".join(members) for name, members in config.model_aliases.items()}, "->")
    yield from _listing("routes", {route.slug: _route(route) for route in config.routes}, "->")
    yield "router"
    router = config.router
    yield f"  strategy {router.routing_strategy}, {_count(router.retries, 'retry', 'retries')}, breaker {_breaker(config)}"
    for kind in ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"):
        chains: Mapping[str, tuple[str, ...]] = getattr(router, kind)
        yield from _listing(f"  {kind}", {name: ", ".join(targets) for name, targets in chains.items()}, "->")
    for name in ("limits", "budgets", "cache", "auth", "logging", "telemetry"):
        yield from _settings(name, getattr(config, name))
    yield from _listing(
        "guardrails", {guard.name: f"{guard.provider} {', '.join(guard.mode)}" for guard in config.guardrails}, ":"
    )
    yield from _listing("variables", {name: _state(name, environment) for name in used_variables(config)}, "")


def _entry(entry: ModelEntry) -> str:
    params = entry.served
    parts = [entry.model_name, "->", f"{params.provider}: {params.model}" if params.provider else params.model]
    parts += [f"at {params.api_base}"] if params.api_base else []
    parts += [f"in {place}"] if (place := params.region or params.location) else []
    parts += [f"{len(params.api_key)} keys"] if len(params.api_key) > 1 else []
    named = ("rpm", "tpm", "max_parallel", "timeout", "stream_idle_timeout", "priority", "weight", "tags")
    shown = [(field.name, value) for field, value in set_fields(entry) if field.name in named]
    shown += [(name, value) for name, value in params.defaults.items()]
    parts += [f"{name}={_short(value)}" for name, value in shown]
    return " ".join([*parts, *(() if entry.enabled else ("(off)",))])


def _route(route: Any) -> str:
    models = ", ".join(f"{model.model_name} x{model.weight:g}" for model in route.models)
    then = f"; then {', '.join(route.fallback_models)}" if route.fallback_models else ""
    return f"{models}{f' ({route.strategy})' if route.strategy else ''}{then}{'' if route.enabled else ' (off)'}"


def _breaker(config: Config) -> str:
    breaker = config.router.circuit_breaker
    if not config.router.circuit_breaker_enabled:
        return "off"
    when = f"after {breaker.min_failures} failures and {breaker.failure_ratio:.0%}"
    return f"{when}, for {breaker.cooldown:g} s to {breaker.max_cooldown:g} s"


def _settings(name: str, section: Section) -> Iterator[str]:
    """The keys of a section that differ from their defaults."""
    credentials = {"master_key", "scrape_token"}
    shown = {key: "***" if key in credentials else _short(value) for key, value in to_plain(section).items()}
    yield from _listing(name, shown, "")


def _listing(title: str, rows: Mapping[str, str], arrow: str) -> Iterator[str]:
    indent = " " * (len(title) - len(title.lstrip()) + 2)
    if rows:
        yield title
        yield from (f"{indent}{name}{f' {arrow}' if arrow else ':'} {text}" for name, text in rows.items())


def _state(name: str, environment: Mapping[str, str]) -> str:
    return "set" if environment.get(name) else "not set"


def _short(value: Any) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return json.dumps(value, ensure_ascii=False)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
