"""A legacy Completions request, read into the neutral form: the prompt is one user message."""

from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.core.jsontext import Json, JsonObject
from pllm.wire.fields import boolean, count, mapping, number, optional, positive, required, sequence, string
from pllm.wire.neutral import Message, Request, Text

ECHO = "prompt"
"""Under this name `Request.echo` holds the prompt that the answer is to begin with."""

_MAX_LOGPROBS = 5

_READ = frozenset(
    {
        "model",
        "prompt",
        "echo",
        "best_of",
        "n",
        "logprobs",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "user",
        "stream",
        "stream_options",
        "suffix",
    }
)


def read_request(body: JsonObject) -> Request:
    """Raises GatewayError(400) with the dotted path of what is wrong. A `suffix`, and a `best_of` that asks for more than
    `n`, are left to the upstream wire as extras: chat models have neither."""
    prompt = read_prompt(body.get("prompt"))
    echo = optional(body, "echo", boolean) or False
    logprobs = optional(body, "logprobs", count)
    if logprobs is not None and logprobs > _MAX_LOGPROBS:
        raise invalid(f"'logprobs' must be at most {_MAX_LOGPROBS}.", "logprobs")
    if echo and logprobs is not None:
        raise GatewayError(
            ErrorKind.UNSUPPORTED_PARAMETER,
            "'echo' with 'logprobs' needs the prompt's own log probabilities, which a chat model does not give. Leave one out.",
            param="logprobs",
        )
    options = optional(body, "stream_options", mapping) or {}
    return Request(
        model=required(body, "model", string),
        messages=(Message("user", (Text(prompt),), "prompt"),),
        max_tokens=optional(body, "max_tokens", positive),
        temperature=optional(body, "temperature", number),
        top_p=optional(body, "top_p", number),
        stop=_stop(body.get("stop")),
        n=optional(body, "n", positive) or 1,
        seed=optional(body, "seed", _whole),
        presence_penalty=optional(body, "presence_penalty", number),
        frequency_penalty=optional(body, "frequency_penalty", number),
        logit_bias=optional(body, "logit_bias", mapping),
        logprobs=None if logprobs is None else True,
        top_logprobs=logprobs or None,
        user=optional(body, "user", string),
        stream=optional(body, "stream", boolean) or False,
        include_usage=optional(options, "include_usage", boolean, "stream_options") or False,
        extras=_extras(body, options),
        echo={ECHO: prompt} if echo else {},
    )


def read_prompt(value: Json) -> str:
    """The one prompt, as text. Several prompts would be several conversations; token numbers belong to one tokenizer."""
    if isinstance(value, str):
        return value
    if value is None:
        raise invalid("'prompt' is required: a string, or a list of one string.", "prompt")
    listed = sequence(value, "prompt")
    if any(isinstance(item, int | list) for item in listed):
        raise invalid("'prompt' as token numbers is not supported by this model; send the text.", "prompt")
    if len(listed) != 1:
        raise invalid(
            f"'prompt' has {len(listed)} prompts; this model takes one a request. Send one request for each.", "prompt"
        )
    return string(listed[0], "prompt[0]")


def _stop(value: Json) -> tuple[str, ...]:
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else sequence(value, "stop")
    return tuple(string(item, f"stop[{position}]") for position, item in enumerate(listed))


def _whole(value: Json, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"'{path}' must be a whole number.", path)
    return value


def _extras(body: JsonObject, options: JsonObject) -> JsonObject:
    extras = {name: value for name, value in body.items() if value is not None and name not in _READ}
    if optional(body, "suffix", string):
        extras["suffix"] = body["suffix"]
    best_of, wanted = optional(body, "best_of", positive), optional(body, "n", positive) or 1
    if best_of is not None and best_of < wanted:
        raise invalid("'best_of' must be at least 'n'.", "best_of")
    if best_of is not None and best_of > wanted:
        extras["best_of"] = best_of
    for name, value in options.items():
        if name != "include_usage" and value not in (None, False):
            extras[f"stream_options.{name}"] = value
    return extras
