"""core/catalogue: the packaged file is sound, and models are found in it under every name they go by."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pllm.core import catalogue as package
from pllm.core.catalogue import CatalogueError, ModelCatalogue, layered, parse
from pllm.core.catalogue.check import problems
from pllm.core.catalogue.text import catalogue_text
from pllm.core.profile import ModelProfile, Prices
from pllm.providers.registry import Registry

FILE = Path(package.__file__).with_name(package.PACKAGED)
TODAY = "2026-11-22"


@pytest.fixture(scope="module")
def packaged() -> ModelCatalogue:
    return parse(FILE.read_bytes(), FILE.name)


def small(models: dict[str, Any], **parts: Any) -> ModelCatalogue:
    document = {"schema": 1, "version": TODAY, "models": models, **parts}
    return parse(json.dumps(document), "small.json")


# --- the packaged file


def test_the_packaged_catalogue_has_nothing_wrong_with_it(packaged: ModelCatalogue) -> None:
    assert problems(packaged) == []


def test_the_packaged_file_is_written_as_refresh_writes_it(packaged: ModelCatalogue) -> None:
    text = FILE.read_text(encoding="utf-8")
    notes = {name: json.loads(text)[name] for name in ("about", "sources")}
    assert catalogue_text(packaged, notes) == text


def test_every_provider_of_the_catalogue_is_one_of_the_registry(packaged: ModelCatalogue) -> None:
    assert {*packaged.models, *packaged.providers} <= {row.name for row in Registry().rows}


def test_every_source_of_a_row_is_explained_at_the_head_of_the_file(packaged: ModelCatalogue) -> None:
    explained = set(json.loads(FILE.read_text(encoding="utf-8"))["sources"])
    named = {
        part.split(":")[0] for rows in packaged.models.values() for row in rows.values() for part in row["source"].split(", ")
    }
    assert named - explained <= {"Azure's spelling", "price not known"}


def test_no_row_claims_to_be_newer_than_its_file(packaged: ModelCatalogue) -> None:
    assert max(row["as_of"] for rows in packaged.models.values() for row in rows.values()) <= packaged.version


def test_a_default_cap_never_exceeds_what_the_model_can_give(packaged: ModelCatalogue) -> None:
    for provider, rows in packaged.models.items():
        for name in rows:
            profile = packaged.profile_of(provider, name, TODAY)
            most, usual = profile.max_output_tokens, profile.default_max_tokens
            assert most is None or usual is None or min(usual, most) >= 1, (provider, name)


@pytest.mark.parametrize("model", ["my-gpt-4", "x", "gpt-4o-but-better", ""])
@pytest.mark.parametrize("provider", ["openai", "compatible", "ollama", "bedrock", "no-such-provider"])
def test_an_unknown_model_gets_the_permissive_default(packaged: ModelCatalogue, provider: str, model: str) -> None:
    assert packaged.profile_of(provider, model, TODAY) == ModelProfile()


def test_loading_needs_no_yaml_and_no_pydantic() -> None:
    script = (
        "import sys; from pathlib import Path; from pllm.core import catalogue as c\n"
        "book = c.parse(Path(c.__file__).with_name(c.PACKAGED).read_bytes(), 'models.json')\n"
        "assert book.profile_of('openai', 'gpt-4o', '2026-11-22').known\n"
        "print(sorted({'yaml', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- names


@pytest.mark.parametrize(
    ("provider", "model", "row"),
    [
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai", "GPT-4o", "openai/gpt-4o"),
        ("openai", "gpt-4.1-mini-2025-04-14", "openai/gpt-4.1-mini"),
        ("openai", "gpt-4-0314", "openai/gpt-4"),
        ("openai", "o3-mini-2025-01-31", "openai/o3-mini"),
        ("azure", "gpt-35-turbo", "openai/gpt-3.5-turbo"),
        ("azure", "gpt-4.1", "openai/gpt-4.1"),
        ("anthropic", "claude-3-5-sonnet-latest", "anthropic/claude-3-5-sonnet"),
        ("anthropic", "claude-sonnet-4-20250514", "anthropic/claude-sonnet-4-0"),
        ("anthropic", "claude-opus-4-6-20260205", "anthropic/claude-opus-4-6"),
        ("vertex", "claude-3-7-sonnet@20250219", "anthropic/claude-3-7-sonnet"),
        ("vertex", "claude-opus-4-6@default", "anthropic/claude-opus-4-6"),
        ("vertex", "publishers/anthropic/models/claude-opus-5", "anthropic/claude-opus-5"),
        ("vertex", "gemini-2.0-flash-001", "gemini/gemini-2.0-flash"),
        ("vertex", "gemini-1.5-pro-002", "gemini/gemini-1.5-pro"),
        ("gemini", "models/gemini-2.5-pro-preview-05-06", "gemini/gemini-2.5-pro"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
        ("openrouter", "openai/gpt-4-turbo", "openai/gpt-4-turbo"),
        ("openrouter", "google/gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("xai", "grok-4-latest", "xai/grok-4"),
    ],
)
def test_a_model_is_found_under_the_names_of_its_snapshots(
    packaged: ModelCatalogue, provider: str, model: str, row: str
) -> None:
    vendor, _, name = row.partition("/")
    expected = packaged.profile_of(vendor, name, TODAY)
    found = packaged.profile_of(provider, model, TODAY)
    assert found.known
    assert found.prices == expected.prices
    assert found.max_input_tokens == expected.max_input_tokens is not None
    assert found.thinking == expected.thinking


SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    "model",
    [
        SONNET,
        f"us.{SONNET}",
        f"eu.{SONNET}",
        f"apac.{SONNET}",
        f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{SONNET}",
        f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}",
        f"{SONNET}:200k",
    ],
)
def test_bedrock_ids_inference_profiles_and_arns_are_the_same_model(packaged: ModelCatalogue, model: str) -> None:
    profile = packaged.profile_of("bedrock", model, TODAY)
    assert (profile.thinking, profile.structured_output) == ("budget", "native")
    assert (profile.prices.input, profile.prices.output) == (3_300_000, 16_500_000)


def test_bedrocks_global_profiles_cost_what_the_vendor_asks_and_regional_ones_a_tenth_more(packaged: ModelCatalogue) -> None:
    vendor = packaged.profile_of("anthropic", "claude-opus-4-6", TODAY).prices
    world = packaged.profile_of("bedrock", "global.anthropic.claude-opus-4-6-v1", TODAY).prices
    region = packaged.profile_of("bedrock", "eu.anthropic.claude-opus-4-6-v1", TODAY).prices
    assert (world.input, world.output) == (vendor.input, vendor.output)
    assert vendor.input is not None
    assert region.input == vendor.input * 11 // 10


def test_an_application_inference_profile_says_nothing_of_its_model(packaged: ModelCatalogue) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"
    assert not packaged.profile_of("bedrock", arn, TODAY).known


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123"),
        ("openrouter", "google/gemini-2.0-flash-001:free"),
        ("openrouter", "deepseek/deepseek-chat"),
        ("bedrock", "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("azure", "text-embedding-3-small"),
    ],
)
def test_what_others_charge_for_is_not_priced_by_the_vendors_list(packaged: ModelCatalogue, provider: str, model: str) -> None:
    profile = packaged.profile_of(provider, model, TODAY)
    assert profile.known
    assert profile.prices == Prices()


def test_a_dearer_snapshot_has_its_own_price(packaged: ModelCatalogue) -> None:
    assert packaged.profile_of("openai", "gpt-4o-2024-05-13", TODAY).prices.input == 5_000_000
    assert packaged.profile_of("openai", "gpt-3.5-turbo-1106", TODAY).prices.input == 1_000_000


# --- what single models can do


def test_case_24_models_that_refuse_temperature_with_top_p_are_marked(packaged: ModelCatalogue) -> None:
    both = {
        name: packaged.profile_of("anthropic", name, TODAY).supports_temperature_with_top_p
        for name in ("claude-3-opus", "claude-haiku-4-5")
    }
    assert both == {"claude-3-opus": True, "claude-haiku-4-5": False}


def test_case_09_new_claude_models_take_no_prefill(packaged: ModelCatalogue) -> None:
    prefill = {
        name: packaged.profile_of("anthropic", name, TODAY).supports_prefill
        for name in ("claude-sonnet-4-5", "claude-sonnet-4-6")
    }
    assert prefill == {"claude-sonnet-4-5": True, "claude-sonnet-4-6": False}


def test_case_07_models_that_cannot_be_made_to_call_a_tool_are_marked(packaged: ModelCatalogue) -> None:
    for provider, model in (("anthropic", "claude-opus-5-5"), ("bedrock", "us.meta.llama3-3-70b-instruct-v1:0")):
        assert not packaged.profile_of(provider, model, TODAY).supports_tool_choice_any
    assert packaged.profile_of("bedrock", "us.amazon.nova-2-lite-v1:0", TODAY).supports_tool_choice_any


def test_case_11_each_family_is_asked_to_think_in_its_own_way(packaged: ModelCatalogue) -> None:
    styles = {
        ("openai", "gpt-4o"): "none",
        ("openai", "o3"): "effort",
        ("anthropic", "claude-3-opus-20240229"): "none",
        ("anthropic", "claude-3-7-sonnet-20250219"): "budget",
        ("anthropic", "claude-sonnet-5"): "adaptive",
        ("gemini", "gemini-2.0-flash"): "none",
        ("gemini", "gemini-2.5-flash"): "budget",
        ("gemini", "gemini-3-pro-preview"): "level",
        ("bedrock", "us.amazon.nova-2-lite-v1:0"): "level",
        ("bedrock", "openai.gpt-oss-120b-1:0"): "effort",
        ("bedrock", "us.deepseek.r1-v1:0"): "always",
        ("xai", "grok-4-0709"): "always",
    }
    assert {place: packaged.profile_of(*place, TODAY).thinking for place in styles} == styles


def test_case_14_stop_sequences_are_limited_or_refused(packaged: ModelCatalogue) -> None:
    assert packaged.profile_of("openai", "gpt-4o", TODAY).max_stop_sequences == 4
    assert packaged.profile_of("gemini", "gemini-2.5-pro", TODAY).max_stop_sequences == 5
    assert "stop" in packaged.profile_of("openai", "o3", TODAY).refused_params


def test_case_23_openrouter_refuses_no_parameter(packaged: ModelCatalogue) -> None:
    assert "temperature" in packaged.profile_of("openai", "o3", TODAY).refused_params
    assert packaged.profile_of("openrouter", "openai/o3", TODAY).refused_params == frozenset()


def test_announced_prices_hold_from_their_day_on(packaged: ModelCatalogue) -> None:
    before = packaged.profile_of("gemini", "gemini-4-argon", "2026-11-30").prices
    after = packaged.profile_of("gemini", "gemini-4-argon", "2026-12-01").prices
    assert (before.input, after.input) == (2_000_000, 4_000_000)
    assert (before.version, after.version) == ("2026-11-22", "2026-12-01")


# --- an operator's catalogue in front


def test_an_operators_row_is_laid_over_the_packaged_one_field_by_field(packaged: ModelCatalogue) -> None:
    mine = small({"openai": {"gpt-4o": {"prices": {"input": 1, "output": 2}, "as_of": "2026-12-24"}}})
    profile = layered(mine, packaged).profile_of("openai", "gpt-4o-2024-08-06", TODAY)
    assert profile == dataclasses.replace(
        packaged.profile_of("openai", "gpt-4o", TODAY), prices=Prices(input=1, output=2, version="2026-12-24")
    )


def test_an_operators_price_ends_the_announced_changes(packaged: ModelCatalogue) -> None:
    mine = small({"gemini": {"gemini-4-argon": {"prices": {"input": 7, "output": 7}}}})
    assert layered(mine, packaged).profile_of("gemini", "gemini-4-argon", "2030-01-01").prices.input == 7


def test_an_operator_may_describe_models_of_any_provider(packaged: ModelCatalogue) -> None:
    mine = small({"compatible": {"My-Model": {"of": "openai/gpt-4o", "prices": None, "modalities": ["text"]}}})
    profile = layered(mine, packaged).profile_of("compatible", "my-model", TODAY)
    assert (profile.max_input_tokens, profile.modalities, profile.prices) == (128_000, frozenset({"text"}), Prices())


# --- mistakes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", '"schema": 1'),
        ('{"schema": 2, "version": "2026-01-01"}', '"schema": 1'),
        ('{"schema": 1}', "'version'"),
        ('{"schema": 1, "version": "2026-01-01", "models": []}', "'models'"),
        ('{"schema": 1, "version": "2026-01-01", "models": {"openai": 3}}', "'models'"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused_with_its_name(text: str, says: str) -> None:
    with pytest.raises(CatalogueError) as raised:
        parse(text, "mine.json")
    assert "mine.json" in str(raised.value)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"thinking": "hard"}, "'thinking' must be one of"),
        ({"max_output_tokens": "8k"}, "'max_output_tokens' must be a whole number"),
        ({"max_output_tokens": True}, "'max_output_tokens' must be a whole number"),
        ({"supports_tools": "yes"}, "'supports_tools' must be true or false"),
        ({"modalities": "text"}, "'modalities' must be a list"),
        ({"modalities": ["smell"]}, "'modalities' are of"),
        ({"contxt": 5}, "there is no field 'contxt'"),
        ({"known": True}, "there is no field 'known'"),
        ({"prices": {"input": 2.5}}, "price 'input' is 2.5"),
        ({"prices": {"input": -1}}, "price 'input' is -1"),
        ({"prices": {"in": 1}}, "there is no price 'in'"),
        ({"prices": 5}, "'prices' must be an object"),
        ({"like": "no-family"}, "'no-family', which is no family"),
        ({"of": "openai/nothing"}, "openai/nothing, which is not in the catalogue"),
        ({"of": "openai/m"}, "starts from itself"),
    ],
)
def test_a_malformed_row_is_refused_by_name_when_used_and_when_checked(row: dict[str, Any], says: str) -> None:
    catalogue = small({"openai": {"m": {"source": "me", "as_of": TODAY, **row}}})
    with pytest.raises(CatalogueError) as raised:
        catalogue.profile_of("openai", "m", TODAY)
    assert "openai/m" in str(raised.value)
    assert says in str(raised.value)
    assert any(says in line for line in problems(catalogue))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"as_of": TODAY}, "'source' is missing"),
        ({"source": "me"}, "'as_of' is None"),
        ({"source": "me", "as_of": "yesterday"}, "'as_of' is 'yesterday'"),
        ({"source": "me", "as_of": TODAY, "prices": {"input": 1, "output": 1, "long_input": 2}}, "long-context prices need"),
        ({"source": "me", "as_of": TODAY, "price_changes": [{"from": "soon", "prices": {}}]}, "order of their days"),
        (
            {"source": "me", "as_of": TODAY, "price_changes": [{"from": TODAY, "prices": {"input": "x"}}]},
            "price 'input' is 'x'",
        ),
        ({"source": "me", "as_of": TODAY, "price_changes": {}}, ""),
    ],
)
def test_the_check_wants_evidence_and_whole_tiers(row: dict[str, Any], says: str) -> None:
    found = problems(small({"openai": {"m": row}}))
    assert any(says in line for line in found) if says else not found


def test_the_check_looks_at_families_and_sellers_too() -> None:
    found = problems(
        small(
            {"openai": {}},
            families={"a": {"like": "b", "source": "me"}, "b": {"like": "a"}},
            providers={"azure": {"borrows": {"": "nobody/"}, "unpriced": ["x/"], "always": {"thinking": "no"}, "price": 1}},
        )
    )
    says = [
        "is like itself",
        "'source' is missing",
        "names no provider",
        "not among 'borrows'",
        "'thinking' must",
        "no key 'price'",
    ]
    assert [line for line in says if not any(line in text for text in found)] == []
