import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.config import ConfigError, compile_config, etag_of, is_compiled, load_compiled
from pllm.core.config.loader import load

FULL = """
model_list:
  - model_name: a
    id: one
    params:
      {model: openai/x, api_key: ["${A}", "${B}"], headers: {x-team: y}, dialects: [chat, responses], stop: [END],
       tool_choice: {type: function}}
    model_info: {mode: chat, input_cost_per_token: 1.5e-07, modalities: [text, image], refused_params: [seed]}
    rpm: 5
    timeout: 90s
    weight: 2.5
    tags: [eu]
  - model_name: b
    provider: {type: azure, azure_deployment: d, base_url: "https://${HOST}/x"}
model_aliases: {smart: [a, b]}
routes: [{slug: r, strategy: least-busy, models: [a, {model_name: b, weight: 3}], fallback_models: b}]
router: {routing_strategy: cost-based, circuit_breaker: {min_failures: 3}, fallbacks: {a: b}, hedge_after: 500ms}
limits: {default_key: {rpm: 60, sliding: true}, teams: {research: {tpm: 10000}}, max_body: 5MB}
budgets: {teams: {research: {amount: 25.5, period: week}}, strict: yes}
cache: {enabled: true, ttl: 1h, scope: team}
auth: {master_key: "${PLLM_MASTER_KEY}", iam: [{arn: "arn:aws:iam::1:role/x", name: ci, limit: {rpm: 1}}],
       oidc: [{issuer: "https://id.example", audience: pllm}]}
guardrails: [{name: pii, provider: bedrock, mode: [pre_call, post_call], guardrail_id: "${GUARD}"}]
usage: exact
"""


def test_a_compiled_configuration_comes_back_whole() -> None:
    loaded = load(FULL, "c.yaml")
    compiled = load_compiled(compile_config(loaded.config, loaded.warnings, "c.yaml"))
    assert compiled.config == loaded.config
    assert compiled.warnings == loaded.warnings
    assert (compiled.source, compiled.etag) == ("c.yaml", etag_of(loaded.config))


def test_variables_are_still_variables_in_a_compiled_file() -> None:
    data = compile_config(load(FULL).config).decode()
    assert '"api_key":["${A}","${B}"]' in data
    assert '"api_base":"https://${HOST}/x"' in data


def test_only_what_differs_from_its_default_is_written() -> None:
    config = load("model_list:\n  - {model_name: a, params: {model: x}, priority: 0, timeout: 10m}\n").config
    assert json.loads(compile_config(config))["config"] == {"model_list": [{"model_name": "a", "params": {"model": "x"}}]}


def test_equal_configurations_have_equal_etags_however_they_were_written() -> None:
    one = load("model_list:\n  - model_name: a\n    params: {model: x}\n    timeout: 90s\n").config
    other = load('{"model_list": [{"timeout": "1m30s", "params": {"model": "x"}, "model_name": "a"}]}').config
    assert etag_of(one) == etag_of(other)
    assert compile_config(one) == compile_config(other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-20], "not a compiled configuration"),
        (lambda data: b"[]", "not a compiled configuration; make one with `pllm config compile`"),
        (lambda data: data.replace(b'"rpm":5', b'"rpm":9'), "its hash does not match; compile it again"),
        (
            lambda data: data.replace(b'"pllm_config":1', b'"pllm_config":2'),
            "compiled for schema 2, this is schema 1; compile it again",
        ),
        (lambda data: b"\xff" + data, "not a compiled configuration"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(change: Any, said: str) -> None:
    data = compile_config(load(FULL).config)
    with pytest.raises(ConfigError) as caught:
        load_compiled(change(data), "c.json")
    assert str(caught.value).startswith("c.json: error: ")
    assert said in str(caught.value)


def test_a_configuration_written_by_hand_is_not_taken_for_a_compiled_one() -> None:
    assert not is_compiled({"model_list": []})
    assert is_compiled(json.loads(compile_config(load(FULL).config)))


def test_a_cold_start_imports_neither_pydantic_nor_yaml(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(compile_config(load(FULL).config))
    code = (
        "import sys\nfrom pllm.core.config import load_compiled, resolve\n"
        f"config = load_compiled(open({str(path)!r}, 'rb').read()).config\n"
        "assert not resolve(config, lambda name: 'x').warnings\n"
        "print(sorted({'pydantic', 'pydantic_core', 'yaml', 'difflib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


_NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=6)
_ENTRIES = st.fixed_dictionaries(
    {
        "model_name": _NAMES,
        "params": st.fixed_dictionaries({"model": _NAMES}, optional={"temperature": st.floats(0, 2), "api_key": _NAMES}),
    },
    optional={
        "rpm": st.integers(1, 10**9),
        "timeout": st.floats(0.001, 900),
        "priority": st.integers(0, 9),
        "enabled": st.booleans(),
        "tags": st.lists(_NAMES, max_size=3),
        "model_info": st.fixed_dictionaries(
            {}, optional={"input_cost_per_token": st.floats(0, 1), "supports_vision": st.booleans()}
        ),
    },
)


@settings(deadline=None, max_examples=100)
@given(st.lists(_ENTRIES, min_size=1, max_size=4), st.integers(0, 9))
def test_compiling_and_loading_is_the_identity(entries: list[dict[str, Any]], retries: int) -> None:
    config = load(json.dumps({"model_list": entries, "router": {"retries": retries}})).config
    assert load_compiled(compile_config(config)).config == config
