"""Neutral requests as Anthropic Messages bodies: every body passes the SDK's own request types."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.wire.anthropic_messages.encoded import CLOCK, LOOP, WEATHER, refusal
from tests.wire.anthropic_messages.judge import ask, assistant, encoded, sent, target, user, vertex

from pllm.core.errors import ErrorKind
from pllm.core.profile import ModelProfile
from pllm.wire.anthropic_messages import upstream
from pllm.wire.lane import Quirks
from pllm.wire.neutral import (
    Audio,
    CacheMark,
    Document,
    FileId,
    Image,
    Inline,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Url,
)
from pllm.wire.translator import UpstreamWire


def blocks(*parts: Part, **fields: Any) -> list[Any]:
    content = sent(ask(user(*parts)), target(**fields))["messages"][0]["content"]
    assert isinstance(content, list)
    return content


def test_the_request_goes_to_the_messages_path_under_the_upstream_name() -> None:
    wire: UpstreamWire = upstream
    result = wire.encode(ask(stream=True), target())
    assert (result.request.path, result.request.model, result.request.stream) == ("messages", "claude-upstream", True)
    body = json.loads(result.request.body)
    assert body["model"] == "claude-upstream" and body["stream"] is True
    assert (result.dropped, result.emulated, result.hidden_tool) == ((), (), None)


def test_a_provider_that_names_the_model_in_the_address_gets_its_version_in_the_body() -> None:
    body = json.loads(encoded(ask(), vertex()).request.body)
    assert "model" not in body and body["anthropic_version"] == "vertex-2023-10-16"


def test_case_02_arguments_are_objects_empty_ones_are_accepted_and_malformed_ones_name_their_message() -> None:
    body = sent(ask(*LOOP, tools=(WEATHER, CLOCK)))
    assert [block.get("input") for block in body["messages"][1]["content"]] == [None, {"city": "Oslo"}, {}]
    nulled = assistant(ToolCall("c1", "clock", "null"))
    assert sent(ask(user("a"), nulled, user(ToolResult("c1"))))["messages"][1]["content"][0]["input"] == {}
    for arguments in ('{"city":', "[1]", '"x"'):
        error = refusal(ask(user("a"), assistant(ToolCall("c1", "weather", arguments)), user(ToolResult("c1"))))
        assert error.param == "messages[1]" and "'c1'" in error.message


def test_case_03_all_results_of_a_turn_come_first_in_the_one_next_user_message() -> None:
    separate = (
        *LOOP[:2],
        user("And then?", path="messages[2]"),
        user(ToolResult("c1", (Text("rain"), Image(Url("https://x/i.png")))), path="messages[3]"),
        user(ToolResult("c2", is_error=True), path="messages[4]"),
    )
    body = sent(ask(*separate, tools=(WEATHER, CLOCK)))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    first, second, words = body["messages"][2]["content"]
    assert [first["tool_use_id"], second["tool_use_id"], words["text"]] == ["c1", "c2", "And then?"]
    assert first["content"][1]["source"] == {"type": "url", "url": "https://x/i.png"}
    assert second["is_error"] is True and "content" not in second


def test_case_04_text_beside_a_tool_call_is_kept_in_order() -> None:
    content = sent(ask(*LOOP, tools=(WEATHER, CLOCK)))["messages"][1]["content"]
    assert [block["type"] for block in content] == ["text", "tool_use", "tool_use"]


def test_case_05_orphans_are_a_400_and_mended_on_demand() -> None:
    assert refusal(ask(*LOOP[:2])).param == "messages[1]"
    assert refusal(ask(LOOP[2])).param == "messages[2]"
    result = encoded(ask(*LOOP[:2], user("never mind")), target(repair_history=True))
    assert result.emulated == ("tool_result:c1", "tool_result:c2", "tools")
    orphan = encoded(ask(user("a"), user(ToolResult("zz"))), target(repair_history=True))
    assert orphan.dropped == ("tool_result:zz",)


def test_case_08_leading_system_blocks_keep_their_order_and_marks() -> None:
    system = (Text("Be brief.", CacheMark("1h")), Text(" "), Text("Be kind."))
    assert sent(ask(system=system))["system"] == [
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "Be kind."},
    ]


def test_case_08_a_later_system_message_keeps_its_place() -> None:
    later = Message("system", (Text("Now in French."),), "messages[1]")
    result = encoded(ask(user("hi"), later))
    content = json.loads(result.request.body)["messages"][0]["content"]
    assert [block["text"] for block in content] == ["hi", "<system>\nNow in French.\n</system>"]
    assert result.emulated == ("messages[1].role",)
    native = sent(ask(user("hi"), later), target(ModelProfile(supports_system_in_messages=True)))
    assert [message["role"] for message in native["messages"]] == ["user", "system"]


def test_case_09_roles_merge_empty_text_goes_and_the_user_begins() -> None:
    body = sent(ask(user("a"), user(" "), user("b"), assistant("c"), assistant(""), assistant("d"), user("e")))
    said = [(message["role"], [block["text"] for block in message["content"]]) for message in body["messages"]]
    assert said == [("user", ["a", "b"]), ("assistant", ["c", "d"]), ("user", ["e"])]
    result = encoded(ask(assistant("Welcome."), user("hi")))
    assert json.loads(result.request.body)["messages"][0]["role"] == "user"
    assert result.emulated == ("messages[0]",)


def test_case_09_prefill_passes_without_trailing_space_and_is_refused_where_the_model_refuses_it() -> None:
    prefill = ask(user("Sum up."), assistant("In short, "))
    assert sent(prefill)["messages"][1]["content"] == [{"type": "text", "text": "In short,"}]
    assert refusal(prefill, profile=ModelProfile(supports_prefill=False)).param == "messages[1]"


def test_case_10_own_thinking_returns_verbatim_before_the_call_and_foreign_thinking_never() -> None:
    turn = assistant(
        Thinking("hm", "sig", origin="anthropic"),
        Thinking(redacted="blob", origin="anthropic"),
        Thinking("unsigned", origin="anthropic"),
        Thinking("gemini's", "gsig", origin="gemini"),
        Thinking("no origin"),
        *LOOP[1].parts[1:],
    )
    result = encoded(ask(LOOP[0], turn, LOOP[2], tools=(WEATHER, CLOCK)))
    content = json.loads(result.request.body)["messages"][1]["content"]
    assert content[:2] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "blob"},
    ]
    assert [block["type"] for block in content[2:]] == ["tool_use", "tool_use"]
    assert result.dropped == ("messages[1].thinking",)


def test_case_10_a_turn_of_foreign_thinking_alone_vanishes() -> None:
    body = sent(ask(user("a"), assistant(Thinking("x", "y", origin="gemini")), user("b")))
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_case_14_stop_sequences_are_all_sent_or_refused() -> None:
    assert sent(ask(stop=("a", "b", "c", "d", "e")))["stop_sequences"] == ["a", "b", "c", "d", "e"]
    assert refusal(ask(stop=("ok", "\n"))).param == "stop"
    assert "at most 2" in refusal(ask(stop=("a", "b", "c")), profile=ModelProfile(max_stop_sequences=2)).message


def test_case_21_images_and_documents_take_every_source_anthropic_has() -> None:
    image = Image(Inline(b"\x89PNG", "image/png"), cache=CacheMark())
    pdf = Document(Inline(b"%PDF", "application/pdf"), "report.pdf", citations=True)
    content = blocks(
        image,
        Image(Url("https://x/a.jpg")),
        Image(FileId("file_1")),
        pdf,
        Document(Url("https://x/b.pdf")),
        Document(FileId("file_2")),
        Document(Inline("naïve".encode(), "text/plain; charset=utf-8")),
    )
    assert content[0]["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    assert content[0]["cache_control"] == {"type": "ephemeral"}
    assert content[1]["source"] == {"type": "url", "url": "https://x/a.jpg"}
    assert content[2]["source"] == {"type": "file", "file_id": "file_1"}
    assert (content[3]["title"], content[3]["citations"]) == ("report.pdf", {"enabled": True})
    assert content[4]["source"]["type"] == "url" and content[5]["source"]["type"] == "file"
    assert content[6]["source"] == {"type": "text", "media_type": "text/plain", "data": "naïve"}


@pytest.mark.parametrize(
    "part",
    [
        Audio(Inline(b"RIFF", "audio/wav"), "wav"),
        Image(Inline(b"BM", "image/bmp")),
        Document(Inline(b"PK", "application/zip")),
        Document(Inline(b"\xff\xfe", "text/plain")),
        Opaque("responses", "file_search_call", {}),
    ],
)
def test_case_21_what_anthropic_cannot_read_is_a_400_even_where_dropping_is_allowed(part: Part) -> None:
    assert (refusal(ask(user(part)), drop_unsupported=True).param or "").startswith("messages[0]")


def test_case_22_marks_stand_on_tools_system_and_messages_and_never_number_more_than_four() -> None:
    mark = CacheMark()
    marked = user(*(Text(str(n), mark) for n in range(5)), ToolResult("c1", cache=mark))
    request = ask(
        user("a"),
        assistant(ToolCall("c1", "weather", cache=mark)),
        marked,
        tools=(replace(WEATHER, cache=CacheMark("1h")),),
        system=(Text("s", mark),),
    )
    result = encoded(request)
    body = json.loads(result.request.body)
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert json.dumps(body).count("cache_control") == 4
    assert [("cache_control" in block) for block in body["messages"][2]["content"]] == [False] * 4 + [True] * 2
    assert result.dropped == ("cache_control",)
    stripped = encoded(request, target(ModelProfile(supports_cache_marks=False)))
    assert b"cache_control" not in stripped.request.body and stripped.dropped == ("cache_control",)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("seed", 7),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -1.0),
        ("logit_bias", {"50256": -100}),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("verbosity", "low"),
        ("service_tier", "flex"),
        ("metadata", {"team": "a"}),
        ("extras", {"prediction": {"type": "content"}}),
    ],
)
def test_case_23_what_anthropic_has_not_is_a_400_by_name_or_dropped_by_name(field: str, value: Any) -> None:
    name = "prediction" if field == "extras" else field
    error = refusal(ask(**{field: value}))
    assert (error.kind, error.param) == (ErrorKind.UNSUPPORTED_PARAMETER, name)
    assert "'claude'" in error.message
    assert encoded(ask(**{field: value}), target(drop_unsupported=True)).dropped == (name,)


def test_case_23_values_that_say_nothing_pass_without_a_word() -> None:
    silent = ask(
        n=1,
        presence_penalty=0,
        frequency_penalty=0.0,
        logit_bias={},
        logprobs=False,
        extras={"store": False, "modalities": None},
    )
    result = encoded(silent)
    assert (result.dropped, set(json.loads(result.request.body))) == ((), {"model", "max_tokens", "messages", "stream"})


def test_case_23_user_tier_and_anthropics_own_fields_are_carried_and_hints_reported() -> None:
    extras = {"container": "c_1", "inference_geo": "us", "prompt_cache_key": "k", "safety_identifier": "sid"}
    result = encoded(ask(user("hi"), service_tier="default", extras=extras))
    body = json.loads(result.request.body)
    assert (body["container"], body["inference_geo"], body["service_tier"]) == ("c_1", "us", "standard_only")
    assert body["metadata"] == {"user_id": "sid"} and result.dropped == ("prompt_cache_key",)
    assert sent(ask(user="u-1"))["metadata"] == {"user_id": "u-1"}
    assert sent(ask(service_tier="auto"))["service_tier"] == "auto"


def test_case_23_fields_that_model_or_provider_refuse_are_named_as_the_catalogue_names_them() -> None:
    refusing = ModelProfile(refused_params=frozenset({"temperature", "stop"}))
    assert refusal(ask(temperature=0.5), profile=refusing).param == "temperature"
    assert refusal(ask(stop=("x",)), profile=refusing).param == "stop"
    assert "temperature" not in sent(ask(temperature=1.0), target(refusing))
    strict = Quirks(refused=frozenset({"service_tier"}))
    assert refusal(ask(service_tier="auto"), quirks=strict).param == "service_tier"


def test_case_24_max_tokens_is_always_there_and_bounded() -> None:
    assert sent(ask())["max_tokens"] == 4096
    assert sent(ask(), target(ModelProfile(max_output_tokens=8192)))["max_tokens"] == 8192
    assert sent(ask(), target(ModelProfile(max_output_tokens=128_000)))["max_tokens"] == 32_000
    assert sent(ask(), target(ModelProfile(max_output_tokens=128_000, default_max_tokens=999)))["max_tokens"] == 999
    assert sent(ask(max_tokens=77))["max_tokens"] == 77
    clamped = encoded(ask(max_tokens=9000), target(ModelProfile(max_output_tokens=8192)))
    assert json.loads(clamped.request.body)["max_tokens"] == 8192 and clamped.emulated == ("max_tokens",)


def test_case_24_temperatures_over_one_are_clamped_and_reported() -> None:
    result = encoded(ask(temperature=1.7, top_p=0.5, top_k=3))
    body = json.loads(result.request.body)
    assert (body["temperature"], body["top_p"], body["top_k"]) == (1, 0.5, 3)
    assert result.emulated == ("temperature",)
    assert refusal(ask(temperature=2.5)).param == "temperature"


def test_case_24_a_model_that_takes_only_one_of_temperature_and_top_p_says_so() -> None:
    either = ModelProfile(supports_temperature_with_top_p=False)
    assert refusal(ask(temperature=0.2, top_p=0.9), profile=either).param == "top_p"
    assert "top_p" not in sent(ask(temperature=0.2, top_p=1.0), target(either))
    assert sent(ask(top_p=0.9), target(either))["top_p"] == 0.9


def test_configured_defaults_fill_silence_and_are_dropped_rather_than_blamed_on_the_client() -> None:
    defaults = {"temperature": 0.3, "max_tokens": 50, "stop": "END", "seed": 1, "reasoning_effort": "low", "top_k": 5}
    thoughtless = ModelProfile(thinking="none")
    result = encoded(ask(temperature=0.9), target(thoughtless, defaults=defaults))
    body = json.loads(result.request.body)
    assert (body["temperature"], body["max_tokens"], body["stop_sequences"], body["top_k"]) == (0.9, 50, ["END"], 5)
    assert result.dropped == ("reasoning_effort", "seed")
    assert refusal(ask(reasoning=None, seed=1), defaults=defaults, profile=thoughtless).param == "seed"


def test_ids_outside_anthropics_alphabet_are_respelt_alike_in_call_and_result() -> None:
    calls = assistant(ToolCall("functions.f:0", "f"), ToolCall("functions_f_0", "f"))
    results = user(ToolResult("functions.f:0"), ToolResult("functions_f_0"))
    body = sent(ask(user("a"), calls, results, tools=(Tool("f"),)))
    ids = [block["id"] for block in body["messages"][1]["content"]]
    assert ids == [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert len(set(ids)) == 2 and all(set(i) <= set("abcdefghijklmnopqrstuvwxyz_0") for i in ids)


def test_participants_names_and_image_detail_are_reported_and_a_refusal_is_said_in_words() -> None:
    named = Message("user", (Image(Url("https://x/i.png"), "high"),), "messages[0]", "alice")
    result = encoded(ask(named, assistant(Refusal("I would rather not.")), user("why?")))
    assert result.dropped == ("messages[0].name", "messages[0].content.image_url.detail")
    assert json.loads(result.request.body)["messages"][1]["content"] == [{"type": "text", "text": "I would rather not."}]
