"""Configuration text to a checked configuration, or to everything that is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pllm.core.config.interpolate import TemplateError, parse_template
from pllm.core.config.model_entry import ModelEntry, Params, ProviderForm, RequestDefaults
from pllm.core.config.pending import pending_warnings
from pllm.core.config.problem import ConfigError, ConfigProblem, Path
from pllm.core.config.references import Finding, check_references
from pllm.core.config.schema import Config
from pllm.core.config.source import Document, read
from pllm.core.config.validate import is_secret_path, validate

LITERAL_CREDENTIAL = "a credential stands in the file itself"
"""The message of the warning about one: whoever publishes configurations makes it an error."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked configuration, its `${...}` still in place, and what its author should know."""

    config: Config
    warnings: tuple[ConfigProblem, ...] = ()


def load(text: str, filename: str = "config.yaml") -> LoadedConfig:
    """Parse and check YAML or JSON. Raises ConfigError with every problem, errors and warnings, in the text's order."""
    document = read(text, filename)
    config, problems = validate(document)
    problems += document.problems
    findings = [*check_references(document.data), *_check_templates(document), *_check_literals(document)]
    problems += [_placed(document, finding) for finding in findings]
    if config is None or any(problem.severity == "error" for problem in problems):
        raise ConfigError(_ordered(problems))
    return LoadedConfig(_normalised(config), tuple(_ordered([*problems, *pending_warnings(document)])))


def _ordered(problems: list[ConfigProblem]) -> list[ConfigProblem]:
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))


def _placed(document: Document, finding: Finding) -> ConfigProblem:
    mark = document.mark(finding.path, key=finding.key)
    return ConfigProblem(document.file, *mark, finding.path, finding.message, finding.suggestion, finding.severity)


def _check_templates(document: Document) -> Iterator[Finding]:
    for path, text in _texts(document.data, ()):
        if "${" in text:
            try:
                parse_template(text)
            except TemplateError as error:
                yield Finding(path, str(error))


def _check_literals(document: Document) -> Iterator[Finding]:
    """Credentials belong in the environment or the secret: whoever reads the file or the artefact would have them."""
    for path, text in _texts(document.data, ()):
        if "${" not in text and len(text) >= 16 and "headers" not in path and is_secret_path(path):
            yield Finding(path, LITERAL_CREDENTIAL, "write ${NAME} and set that variable", "warning")


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, number))


def _normalised(config: Config) -> Config:
    return replace(config, model_list=tuple(_with_params(entry) for entry in config.model_list))


def _with_params(entry: ModelEntry) -> ModelEntry:
    if entry.provider is None:
        return entry
    return replace(entry, params=_params(entry.provider), provider=None)


def _params(form: ProviderForm) -> Params:
    """The provider form in the words of `params`."""
    defaults = {name: getattr(form, name) for name in RequestDefaults.__dataclass_fields__}
    return Params(
        **defaults,
        model=form.model or form.azure_deployment or "",
        provider=form.type,
        api_key=form.api_key,
        api_base=form.base_url or form.azure_endpoint,
        api_version=form.api_version,
        region=form.region or form.aws_region_name,
        project=form.project_id or form.vertex_project,
        location=form.location or form.vertex_location,
        organization=form.org_id,
        credentials=form.credentials,
        aws_access_key_id=form.aws_access_key_id,
        aws_secret_access_key=form.aws_secret_access_key,
        aws_session_token=form.aws_session_token,
        headers=form.headers,
        dialects=form.dialects,
    )
