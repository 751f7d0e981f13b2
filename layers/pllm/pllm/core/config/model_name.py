"""`provider/model` taken apart."""

import re

_PROVIDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


def split_model(model: str) -> tuple[str | None, str]:
    """The text before the first slash, if it can be a provider's name, and the rest; (None, model) for a bare name.

    Whether the first part *is* a provider only the registry knows: of `meta-llama/Llama-3-70b` or `openai/gpt-4-turbo` at
    OpenRouter's `api_base` the whole is the model's name. An ARN is a bare name.
    """
    prefix, slash, rest = model.partition("/")
    if slash and rest and _PROVIDER.fullmatch(prefix):
        return prefix, rest
    return None, model
