"""The configuration: text or compiled file in, checked and frozen values out. Pure; the caller reads files and environment.

`load` checks YAML or JSON (build, CLI, admin API), `compile_config` and `load_compiled` carry it to a cold start, `resolve`
fills in `${NAME}`. See docs/config-reference.md for the keys.
"""

from pllm.core.config.compiled import CompiledConfig, compile_config, etag_of, is_compiled, load_compiled
from pllm.core.config.model_name import split_model
from pllm.core.config.problem import ConfigError, ConfigProblem
from pllm.core.config.profile_override import apply_model_info
from pllm.core.config.resolve import ResolvedConfig, resolve
from pllm.core.config.schema import Config, ModelEntry, ModelInfo, Params, Route, Router, Strategy

__all__ = [
    "CompiledConfig",
    "Config",
    "ConfigError",
    "ConfigProblem",
    "ModelEntry",
    "ModelInfo",
    "Params",
    "ResolvedConfig",
    "Route",
    "Router",
    "Strategy",
    "apply_model_info",
    "compile_config",
    "etag_of",
    "is_compiled",
    "load_compiled",
    "resolve",
    "split_model",
]
