"""What a gateway would warn of if it took up a configuration now, told before it does: to whoever checks or publishes one."""

from collections.abc import Mapping

from pllm.core.config import Config, ConfigProblem, resolve
from pllm.core.config.problem import Path, dotted
from pllm.core.profile import ModelProfile
from pllm.providers.deployments import Built, ProfileOf, build
from pllm.providers.registry import Registry


def outlook(
    config: Config,
    variables: Mapping[str, str],
    registry: Registry,
    file: str = "config.yaml",
    profile_of: ProfileOf = lambda provider, model: ModelProfile(),
) -> tuple[ConfigProblem, ...]:
    """Entries whose variables are not set, entries without a credential or an address, and names that mix embedding models, as
    far as `profile_of` knows these. `variables`: the environment and the provider-keys secret, merged. Raises ConfigError
    where the gateway would not start."""
    resolved = resolve(config, variables.get, file)
    built = build(resolved.config, registry, variables, profile_of)
    return (*resolved.warnings, *left_out(resolved.config, built, file), *mixes(built, file))


def left_out(config: Config, built: Built, file: str) -> tuple[ConfigProblem, ...]:
    """A warning for each entry of a resolved configuration that is switched on and has no deployment."""
    return tuple(_left_out(config, number, why, file) for number, why in built.left_out.items())


def mixes(built: Built, file: str) -> tuple[ConfigProblem, ...]:
    """A warning for each name that may be answered by different embedding models."""
    return tuple(ConfigProblem(file, 0, 0, path, what, severity="warning") for path, what in built.mixed)


def _left_out(config: Config, number: int, why: str, file: str) -> ConfigProblem:
    path: Path = ("model_list", number)
    message = f"'{dotted(path)}' ({config.model_list[number].model_name}) is disabled: {why.rstrip('.')}"
    return ConfigProblem(file, 0, 0, path, message, severity="warning")
