"""A neutral request as the body and path of a Converse call."""

from collections.abc import Sequence
from urllib.parse import quote

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject, dumps
from pllm.wire.bedrock_converse.content import Turns, system_blocks
from pllm.wire.bedrock_converse.fields import bedrock_fields, refuse_unsupported, without_refused
from pllm.wire.bedrock_converse.inference import inference_config
from pllm.wire.bedrock_converse.ledger import Ledger
from pllm.wire.bedrock_converse.output_format import OutputFormat, output_format
from pllm.wire.bedrock_converse.thinking import thinking_fields
from pllm.wire.bedrock_converse.tools import tool_config
from pllm.wire.defaults import with_defaults
from pllm.wire.history import arrange, is_prefill, limit_cache_marks
from pllm.wire.lane import Target, WireRequest
from pllm.wire.neutral import Message, Request
from pllm.wire.translator import Encoded

MAX_CACHE_POINTS = 4
_MAX_RESPONSE_PATHS = 10


def encode(request: Request, target: Target) -> Encoded:
    """Raises GatewayError(400) naming field and model for what cannot be carried, unless target.drop_unsupported."""
    ledger = Ledger(target)
    request = with_defaults(request, target.defaults)
    refuse_unsupported(request, ledger)
    request = without_refused(request, target, ledger)
    request, stripped = limit_cache_marks(request, MAX_CACHE_POINTS if target.profile.supports_cache_marks else 0)
    ledger.drop(*stripped)
    history = arrange(request.messages, repair=target.repair_history)
    ledger.merge(history.dropped, history.emulated)
    _check_prefill(history.turns, target)
    format_ = output_format(request, target, ledger)
    body = _body(request, history.turns, format_, target, ledger)
    operation = "converse-stream" if request.stream else "converse"
    accept = "application/vnd.amazon.eventstream" if request.stream else "application/json"
    wire = WireRequest(
        path=f"model/{quote(target.model, safe='')}/{operation}",
        body=dumps(body),
        model=target.model,
        stream=request.stream,
        headers={"accept": accept},
    )
    return Encoded(wire, ledger.dropped, ledger.emulated, format_.tool.name if format_.tool else None)


def _check_prefill(turns: Sequence[Message], target: Target) -> None:
    if is_prefill(turns) and not target.profile.supports_prefill:
        path = turns[-1].path or "messages"
        raise invalid(
            f"Model {target.public_name!r} does not go on from an assistant message: the last message must be the user's.", path
        )


def _body(request: Request, turns: Sequence[Message], format_: OutputFormat, target: Target, ledger: Ledger) -> JsonObject:
    tools = tool_config(request, turns, format_.tool, target, ledger)
    thinking = thinking_fields(request, turns, tools.forced, target, ledger)
    fields = bedrock_fields(request, ledger)
    body: JsonObject = {"messages": Turns(target, ledger).encode(turns)}
    if system := system_blocks(request.system):
        body["system"] = system
    model_fields = {**thinking.fields, **(tools.model_fields or {})}
    if not _leaves_it_to_the_prompt(request, fields):
        body["inferenceConfig"], top_k = inference_config(request, thinking, target, ledger)
        model_fields |= {"top_k": top_k} if top_k is not None else {}
    if tools.config is not None:
        body["toolConfig"] = tools.config
    if format_.config is not None:
        body["outputConfig"] = format_.config
    body.update(fields)
    if model_fields:
        body["additionalModelRequestFields"] = {**model_fields, **fields.get("additionalModelRequestFields", {})}
    _ask_for_stop_sequence(body, request, target)
    return body


def _leaves_it_to_the_prompt(request: Request, fields: JsonObject) -> bool:
    """A managed prompt brings its own inference settings, and Bedrock refuses any beside it."""
    said = (request.max_tokens, request.temperature, request.top_p, request.top_k)
    return "promptVariables" in fields and all(value is None for value in said) and not request.stop


def _ask_for_stop_sequence(body: JsonObject, request: Request, target: Target) -> None:
    """Converse does not say which stop sequence matched; Claude's own answer does, where one asks for it (case 13)."""
    if not request.stop or target.profile.thinking not in ("budget", "adaptive"):
        return
    path = "/delta/stop_sequence" if request.stream else "/stop_sequence"
    asked = list(body.get("additionalModelResponseFieldPaths", ()))
    if path not in asked and len(asked) < _MAX_RESPONSE_PATHS:
        body["additionalModelResponseFieldPaths"] = [*asked, path]
