from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.core.config import ConfigError, Strategy
from pllm.core.config.loader import load
from pllm.core.config.schema import Config, Params

MINIMAL = "model_list:\n  - model_name: a\n    params: {model: gpt-4}\n"


def errors(text: str, filename: str = "c.yaml") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, filename)
    return [str(problem) for problem in caught.value.problems if problem.severity == "error"]


def warnings(text: str) -> list[str]:
    return [str(problem) for problem in load(text, "c.yaml").warnings]


def entry(text: str) -> Any:
    return load(f"model_list:\n  - {text}\n").config.model_list[0]


# --- The seed page ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seed(data_dir: Path) -> Config:
    return load((data_dir / "seed.yaml").read_text(), "seed.yaml").config


def test_every_model_of_the_seed_page_is_there(seed: Config) -> None:
    assert [(entry.model_name, entry.served.model, entry.served.api_key) for entry in seed.model_list] == [
        ("my-gpt-4", "gpt-4", ("${OPENAI_API_KEY}",)),
        ("my-gpt-35-turbo", "gpt-3.5-turbo", ("${OPENAI_API_KEY}",)),
        ("azure-gpt-4", "azure/my-deployment-name", ("${AZURE_API_KEY}",)),
        ("openrouter-gpt-4", "openai/gpt-4-turbo", ("${OPENROUTER_API_KEY}",)),
        ("openrouter-claude", "anthropic/claude-3-sonnet", ("${OPENROUTER_API_KEY}",)),
        ("fast-gpt", "gpt-3.5-turbo", ("${OPENAI_API_KEY}",)),
    ]


def test_addresses_versions_and_limits_of_the_seed_page_are_there(seed: Config) -> None:
    azure, openrouter, fast = seed.model_list[2], seed.model_list[3], seed.model_list[5]
    assert (azure.served.api_base, azure.served.api_version) == (
        "https://my-azure-endpoint.openai.azure.com",
        "2024-02-15-preview",
    )
    assert (openrouter.served.api_base, openrouter.rpm, openrouter.tpm) == ("https://openrouter.ai/api/v1", 200, 50000)
    assert (fast.rpm, fast.tpm) == (500, 100000)


def test_aliases_and_the_router_of_the_seed_page_are_there(seed: Config) -> None:
    assert seed.model_aliases["smart"] == ("my-gpt-4", "azure-gpt-4", "openrouter-gpt-4")
    assert seed.model_aliases["openrouter"] == ("openrouter-gpt-4", "openrouter-claude")
    assert seed.router.routing_strategy is Strategy.LATENCY_BASED
    assert seed.router.circuit_breaker_enabled is True
    assert seed.router.fallbacks == {"my-gpt-4": ("my-gpt-35-turbo",), "my-gpt-35-turbo": ("my-gpt-35-turbo-16k",)}
    assert seed.router.context_window_fallbacks["my-gpt-4"] == ("my-gpt-4-32k",)


def test_the_seed_page_falls_back_to_models_it_does_not_list_and_is_told_so(data_dir: Path) -> None:
    said = [str(problem) for problem in load((data_dir / "seed.yaml").read_text(), "seed.yaml").warnings]
    assert any("'my-gpt-4' falls back to the unknown model 'my-gpt-4-32k', which will be passed over" in line for line in said)


# --- Everything wrong at once -------------------------------------------------------------------------------------


def test_a_file_with_every_kind_of_mistake_hears_of_each_on_its_own_line(data_dir: Path) -> None:
    text = (data_dir / "mistakes.yaml").read_text()
    wanted = {number: line.split("!!")[1:] for number, line in enumerate(text.splitlines(), 1) if "# !!" in line}
    with pytest.raises(ConfigError) as caught:
        load(text, "mistakes.yaml")
    said: dict[int, list[str]] = {}
    for problem in caught.value.problems:
        said.setdefault(problem.line, []).append(str(problem))
    assert sorted(said) == sorted(wanted)
    for line, pieces in wanted.items():
        assert len(said[line]) == len(pieces), said[line]
        for piece in pieces:
            assert any(piece.strip() in message for message in said[line]), (line, piece, said[line])


def test_the_same_mistakes_in_json_are_told_the_same(data_dir: Path) -> None:
    mistake = '{\n "model_list": [\n  {"model_nam": "a",\n   "params": {"model": "x", "temperature": 5}}]}'
    assert errors(mistake, "c.json") == [
        "c.json:3:3: error: the key 'model_name' is missing in 'model_list[0]'",
        "c.json:3:4: error: unknown key 'model_nam' in 'model_list[0]'; did you mean 'model_name'?",
        "c.json:4:44: error: 'model_list[0].params.temperature': expected a number from 0 to 2, got 5",
    ]


def test_problems_read_as_a_compiler_writes_them() -> None:
    text = "model_list:\n  - modle_name: a\n    model_name: a\n    params: {model: x}\n"
    assert errors(text, "config.yaml") == [
        "config.yaml:2:5: error: unknown key 'modle_name' in 'model_list[0]'; did you mean 'model_name'?"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected a mapping, got a list"),
        ("just text", "expected a mapping, got 'just text'"),
        ("42", "expected a mapping, got 42"),
        ("router: {retries: 1}", "the key 'model_list' is missing"),
        ("model_list: []", "'model_list' is empty: there is nothing to serve"),
        ("model_list: {a: b}", "'model_list': expected a list, got a mapping"),
        ("model_list:", "the key 'model_list' is missing"),
        ("null", "the key 'model_list' is missing"),
    ],
)
def test_a_file_of_the_wrong_shape_is_refused(text: str, said: str) -> None:
    assert any(said in line for line in errors(text))


def test_a_credential_is_never_quoted_in_a_message() -> None:
    keys = 'api_key: {nested: sk-very-secret}, headers: {authorization: ["sk-very-secret"]}'
    text = f"model_list:\n  - model_name: a\n    params: {{model: x, {keys}}}\n"
    said = "\n".join(errors(text))
    assert "sk-very-secret" not in said
    assert "'model_list[0].params.api_key[0]': expected text" in said


def test_a_credential_in_the_file_itself_is_warned_of_and_not_quoted() -> None:
    said = warnings("model_list:\n  - model_name: a\n    params: {model: x, api_key: sk-0123456789abcdef}\n")
    assert said == ["c.yaml:3:33: warning: a credential stands in the file itself; write ${NAME} and set that variable"]


def test_a_loaded_configuration_prints_no_credential() -> None:
    config = load("model_list:\n  - model_name: a\n    params: {model: x, api_key: sk-0123456789abcdef}\n").config
    assert "sk-0123456789abcdef" not in repr(config)
    assert "api_key=***" in repr(config)


# --- Defaults, empty keys, synonyms -------------------------------------------------------------------------------


def test_an_empty_section_and_an_empty_key_mean_their_defaults() -> None:
    config = load(MINIMAL + "router:\nlimits:\n  max_body:\nmodel_aliases:\n").config
    assert config == load(MINIMAL).config
    assert config.router.retries == 2
    assert config.limits.max_body == 6 * 1024 * 1024


def test_an_unknown_key_is_refused_even_when_it_is_empty() -> None:
    assert errors(MINIMAL + "routre:\n") == ["c.yaml:4:1: error: unknown key 'routre'; did you mean 'router'?"]


def test_an_entry_has_the_defaults_of_the_reference() -> None:
    found = load(MINIMAL).config.model_list[0]
    assert (found.timeout, found.stream_idle_timeout, found.priority, found.weight, found.enabled) == (
        600.0,
        60.0,
        0,
        1.0,
        True,
    )
    assert (found.rpm, found.tpm, found.max_parallel, found.tags, found.served.api_key) == (None, None, None, (), ())


@pytest.mark.parametrize(
    ("written", "strategy"),
    [
        ("priority", Strategy.PRIORITY),
        ("latency-based", Strategy.LATENCY_BASED),
        ("least-latency", Strategy.LATENCY_BASED),
        ("round-robin", Strategy.ROUND_ROBIN),
        ("round_robin", Strategy.ROUND_ROBIN),
        ("weighted", Strategy.WEIGHTED),
        ("weighted-round-robin", Strategy.WEIGHTED),
        ("random", Strategy.RANDOM),
        ("cost-based", Strategy.COST_BASED),
        ("least-busy", Strategy.LEAST_BUSY),
        ("usage-based", Strategy.USAGE_BASED),
        ("simple", Strategy.ROUND_ROBIN),
        ("simple-shuffle", Strategy.WEIGHTED),
    ],
)
def test_strategies_have_synonyms(written: str, strategy: Strategy) -> None:
    assert load(f"{MINIMAL}router: {{routing_strategy: {written}}}\n").config.router.routing_strategy is strategy


def test_any_chat_request_field_may_be_a_default() -> None:
    params = entry(
        "{model_name: a, params: {model: x, temperature: 0.7, max_tokens: 2000, stop: END, reasoning_effort: LOW, seed: -1, "
        "response_format: {type: json_object}, tools: [{type: function}], tool_choice: auto, user: me}}"
    ).served
    assert params.defaults == {
        "temperature": 0.7,
        "max_tokens": 2000,
        "stop": ["END"],
        "reasoning_effort": "low",
        "seed": -1,
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function"}],
        "tool_choice": "auto",
        "user": "me",
    }


def test_units_are_read() -> None:
    found = entry("{model_name: a, params: {model: x}, timeout: 5m, stream_idle_timeout: 90}")
    assert (found.timeout, found.stream_idle_timeout) == (300.0, 90.0)
    config = load(MINIMAL + "limits: {max_body: 5MB}\nbudgets: {default_key: {amount: 12.50, period: weekly}}\n").config
    assert config.limits.max_body == 5_000_000
    assert config.budgets.default_key is not None
    assert (config.budgets.default_key.amount, config.budgets.default_key.period) == (12_500_000, "week")


def test_several_keys_are_a_list() -> None:
    assert entry('{model_name: a, params: {model: x, api_key: ["${A}", "${B}"]}}').served.api_key == ("${A}", "${B}")


def test_route_models_may_be_names_or_mappings() -> None:
    config = load(
        MINIMAL + "  - {model_name: b, params: {model: y}}\nroutes: [{slug: r, models: [a, {model_name: b, weight: 3}]}]\n"
    ).config
    assert [(model.model_name, model.weight) for model in config.routes[0].models] == [("a", 1.0), ("b", 3.0)]


def test_the_fuller_provider_form_becomes_params() -> None:
    found = entry(
        "{model_name: a, provider: {type: azure, azure_deployment: d, azure_endpoint: 'https://r.example', api_key: '${K}', "
        "org_id: o, vertex_project: p, vertex_location: l, aws_region_name: eu-west-1, temperature: 1, dialects: [chat], "
        "headers: {x: y}}}"
    )
    assert found.provider is None
    assert found.params == Params(
        provider="azure",
        model="d",
        api_base="https://r.example",
        api_key=("${K}",),
        organization="o",
        project="p",
        location="l",
        region="eu-west-1",
        temperature=1.0,
        dialects=("chat",),
        headers={"x": "y"},
    )


def test_an_entry_that_was_never_loaded_has_nothing_to_serve_it() -> None:
    from pllm.core.config.schema import ModelEntry

    with pytest.raises(ValueError, match="was not loaded"):
        _ = ModelEntry(model_name="a").served


# --- Text as it comes ---------------------------------------------------------------------------------------------


def test_line_ends_byte_order_marks_and_comments_change_nothing() -> None:
    assert load("\ufeff" + MINIMAL.replace("\n", "\r\n")).config == load("# hello\n" + MINIMAL).config


def test_anchors_share_parameters() -> None:
    first = "model_list:\n  - model_name: a\n    params: &p {model: x, api_key: '${K}'}\n"
    config = load(first + "  - {model_name: b, params: {<<: *p, model: y}}\n").config
    assert config.model_list[1].served == Params(model="y", api_key=("${K}",))


def test_names_in_any_script_are_told_apart() -> None:
    text = "model_list:\n  - {model_name: 模型, params: {model: x}}\nmodel_aliases:\n  умный: [模型]\n  schön: [模形]\n"
    assert errors(text) == ["c.yaml:5:11: error: the alias 'schön' names the unknown model '模形'"]


def test_a_number_where_text_is_wanted_is_told_to_be_quoted() -> None:
    text = "model_list:\n  - {model_name: a, params: {model: x, api_version: 2024, project: 007}}\n"
    assert errors(text) == [
        "c.yaml:2:53: error: 'model_list[0].params.api_version': expected text, got 2024; put it in quotes: '2024'"
    ]
    assert entry("{model_name: a, params: {model: x, project: 007, api_version: 2024-10-21}}").served.project == "007"


def test_a_large_file_is_loaded_whole() -> None:
    rows = [{"model_name": f"m{n}", "params": {"model": f"openai/x{n}", "api_key": "${K}"}, "rpm": n + 1} for n in range(1500)]
    text = yaml.dump(
        {"model_list": rows, "model_aliases": {"all": [row["model_name"] for row in rows]}}, Dumper=yaml.CSafeDumper
    )
    config = load(text).config
    assert len(config.model_list) == 1500
    assert len(config.model_aliases["all"]) == 1500


_SECTIONS = {
    "": "KEY: 1\n" + MINIMAL,
    "entry": "model_list:\n  - model_name: a\n    KEY: 1\n    params: {model: gpt-4}\n",
    "params": "model_list:\n  - model_name: a\n    params:\n      model: gpt-4\n      KEY: 1\n",
    "router": MINIMAL + "router:\n  retries: 1\n  KEY: 1\n",
    "limit": MINIMAL + "limits:\n  keys:\n    ci:\n      KEY: 1\n",
}


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(sorted(_SECTIONS)), st.from_regex(r"[a-z]{2,6}_[a-z]{2,8}", fullmatch=True))
def test_a_random_unknown_key_is_always_refused_on_its_line(section: str, key: str) -> None:
    text = _SECTIONS[section].replace("KEY", key)
    line = next(number for number, row in enumerate(text.splitlines(), 1) if row.strip() == f"{key}: 1")
    try:
        config = load(text, "c.yaml").config
    except ConfigError as error:
        assert any(problem.line == line and key in problem.path for problem in error.problems)
    else:
        assert key in repr(config)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_file_is_loaded_or_refused_and_nothing_else(data_dir: Path, data: st.DataObject) -> None:
    text = (data_dir / data.draw(st.sampled_from(["seed.yaml", "mistakes.yaml"]))).read_text()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 30))
        text = text[:at] + data.draw(st.text("[]{}:-\n\t \"'&*<!%@${}aé0#,|>?", max_size=4)) + text[at + cut :]
    try:
        load(text)
    except ConfigError as error:
        assert any(problem.severity == "error" for problem in error.problems)
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)
