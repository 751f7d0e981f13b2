"""A trace through everything: the official SDK, real workers, a provider and a collector, each in its own process or thread."""

import json
from pathlib import Path
from typing import Any

import openai
from tests.support.collector import Collector
from tests.support.processes import LOCAL_KEY, Running, pllm_local

from pllm.core.trace_context import parse_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "the answer"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}


def asked(running: Running, **headers: str) -> None:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=LOCAL_KEY) as sdk:
        question: Any = [{"role": "user", "content": "the question"}]
        sdk.chat.completions.create(model="m", messages=question, extra_headers=headers)


def test_client_upstream_collector_and_log_agree_on_the_trace(tmp_path: Path) -> None:
    with Collector((200, json.dumps(ANSWER).encode())) as provider, Collector() as collector:
        config = tmp_path / "config.yaml"
        served = f"model_list: [{{model_name: m, params: {{model: compatible/x, api_base: '{provider.url}/v1'}}}}]\n"
        config.write_text(served)
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}
        with pllm_local("--workers", "1", "--config", str(config), environment=environment) as running:
            asked(running, traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="congo=1")
            asked(running)
            assert collector.wait_for(2)
        lines = [json.loads(line) for line in running.log if '"message":"request"' in line]
    first, second = (parse_traceparent([one["traceparent"]]) for one in provider.headers)
    assert first is not None
    assert second is not None
    assert first.trace_id == TRACE
    assert provider.headers[0]["tracestate"] == "congo=1"
    server, attempt = (span for span in collector.spans if span.trace_id == TRACE)
    assert (server.parent_id, attempt.parent_id, attempt.span_id) == (SPAN, server.span_id, first.span_id)
    assert server.attributes["gen_ai.usage.input_tokens"] == 5
    assert server.resource["faas.name"] == "gateway"
    assert [line["trace_id"].replace("-", "")[1:] for line in lines] == [TRACE, second.trace_id]
    assert {span.trace_id for span in collector.spans} == {TRACE, second.trace_id}
    assert all(word not in body for body in collector.bodies for word in (b"the question", b"the answer"))
