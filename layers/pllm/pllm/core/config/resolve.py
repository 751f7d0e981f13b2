"""Fill in `${...}` when a configuration is put to use, not before: a compiled file never holds a credential."""

from dataclasses import dataclass, field, replace
from typing import Any

from pllm.core.config.interpolate import Lookup, fill, variables
from pllm.core.config.kinds import url_problem
from pllm.core.config.model_entry import ModelEntry
from pllm.core.config.plain import map_texts, to_plain
from pllm.core.config.problem import ConfigError, ConfigProblem, Path, dotted
from pllm.core.config.schema import Config


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """A configuration to run with. An entry that lacks a variable is disabled, its place kept, and named in `warnings`."""

    config: Config
    warnings: tuple[ConfigProblem, ...] = ()


@dataclass(slots=True)
class _Filler:
    """Fills texts and collects the variables that were missing. What cannot be filled becomes ""."""

    lookup: Lookup
    missing: list[str] = field(default_factory=list)
    named: bool = False

    def __call__(self, text: str) -> str:
        if "${" not in text:
            return text
        filled = fill(text, self.lookup)
        self.missing += [name for name in filled.missing if name not in self.missing]
        return filled.text or ""


def resolve(config: Config, lookup: Lookup, file: str = "config.yaml") -> ResolvedConfig:
    """Fill in every text. `lookup` gives a variable's value or None; an empty value counts as none.

    A missing variable disables the entry of `model_list` that needs it, with a warning that names both; of a list of keys
    only the key is left out. Anywhere else (a guardrail's id, an issuer) ConfigError is raised: what should protect must
    not be missing silently.
    """
    warnings: list[ConfigProblem] = []
    entries = tuple(_entry(entry, number, lookup, file, warnings) for number, entry in enumerate(config.model_list))
    filler = _Filler(lookup)
    rest: Config = map_texts(replace(config, model_list=()), filler)
    if filler.missing:
        raise ConfigError([_problem(file, path, name, "error") for path, name in _missing_places(config, lookup)])
    resolved = replace(rest, model_list=entries)
    warnings += _recheck(config, resolved, file)
    return ResolvedConfig(resolved, tuple(warnings))


def used_variables(value: Any) -> tuple[str, ...]:
    """The names that filling in a section might look up, in order."""
    found: dict[str, None] = {}

    def note(text: str) -> str:
        found.update(dict.fromkeys(variables(text)))
        return text

    map_texts(value, note)
    return tuple(found)


def _entry(entry: ModelEntry, number: int, lookup: Lookup, file: str, warnings: list[ConfigProblem]) -> ModelEntry:
    path: Path = ("model_list", number)
    kept = _with_usable_keys(entry, lookup, path, file, warnings)
    filler = _Filler(lookup)
    filled = _without_slash(map_texts(kept, filler))
    reason = _unusable(filled, filler)
    if reason is None or not entry.enabled:
        return filled
    message = f"'{dotted(path)}' ({entry.model_name}) is disabled: {reason}"
    warnings.append(ConfigProblem(file, 0, 0, path, message, severity="warning"))
    return replace(filled, enabled=False)


def _without_slash(entry: ModelEntry) -> ModelEntry:
    base = entry.served.api_base
    return (
        entry if not base or not base.endswith("/") else replace(entry, params=replace(entry.served, api_base=base.rstrip("/")))
    )


def _with_usable_keys(entry: ModelEntry, lookup: Lookup, path: Path, file: str, warnings: list[ConfigProblem]) -> ModelEntry:
    """The entry without those of its several keys that are not set; with all of them when none is."""
    keys = entry.served.api_key
    usable = tuple(key for key in keys if "${" not in key or fill(key, lookup).text)
    if len(keys) < 2 or not usable or len(usable) == len(keys):
        return entry
    missing = [name for key in keys if key not in usable for name in fill(key, lookup).missing]
    message = f"'{dotted(path)}' ({entry.model_name}) goes without the keys whose variables are not set: {', '.join(missing)}"
    warnings.append(ConfigProblem(file, 0, 0, (*path, "params", "api_key"), message, severity="warning"))
    return replace(entry, params=replace(entry.served, api_key=usable))


def _unusable(entry: ModelEntry, filler: _Filler) -> str | None:
    if filler.missing:
        return f"{', '.join(filler.missing)} {'is' if len(filler.missing) == 1 else 'are'} not set"
    base = entry.served.api_base
    if base is not None and (problem := url_problem(base)):
        return f"api_base: {problem}"
    if not all(entry.served.api_key) or not entry.served.model:
        return "a variable's default is empty"
    return None


def _missing_places(config: Config, lookup: Lookup) -> list[tuple[Path, str]]:
    plain = to_plain(replace(config, model_list=()))
    found: list[tuple[Path, str]] = []

    def walk(value: Any, path: Path) -> None:
        if isinstance(value, str) and "${" in value:
            found.extend((path, name) for name in fill(value, lookup).missing)
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*path, key))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                walk(item, (*path, number))

    walk(plain, ())
    return found


def _problem(file: str, path: Path, name: str, severity: Any) -> ConfigProblem:
    return ConfigProblem(
        file, 0, 0, path, f"'{dotted(path)}': {name} is not set", "set it, or write ${NAME:-default}", severity
    )


def _recheck(before: Config, after: Config, file: str) -> list[ConfigProblem]:
    """Names that came out of variables were not known when the file was checked. Rare, so it costs nothing otherwise."""
    if _all_names(before) == _all_names(after):
        return []
    from pllm.core.config.references import check_references

    findings = check_references(to_plain(after))
    problems = [ConfigProblem(file, 0, 0, item.path, item.message, item.suggestion, item.severity) for item in findings]
    if any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return problems


def _all_names(config: Config) -> tuple[Any, ...]:
    return (
        [entry.model_name for entry in config.model_list],
        config.model_aliases,
        [(route.slug, [model.model_name for model in route.models], route.fallback_models) for route in config.routes],
        config.router,
    )
