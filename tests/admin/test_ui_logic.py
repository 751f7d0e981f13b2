"""What the page works out by itself, run by Node: whether an answer is complete, where the API is, how numbers are written."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import ROOT, require

from pllm.admin.ui import FILES

pytestmark = pytest.mark.needs_node

Answers = Mapping[str, Any]
Ask = Callable[..., Answers]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Asks the modules, with chats, roots, formats and limits; the answers have the same names."""
    require(shutil.which("node") is not None, "Node")
    folder = tmp_path_factory.mktemp("modules")
    (folder / "package.json").write_text('{"type": "module"}')
    for name, file in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file.content)
    return lambda **questions: _asked(folder, {"chats": [], "roots": [], "formats": [], "limits": [], **questions})


def _asked(folder: Path, questions: Mapping[str, Sequence[Any]]) -> Answers:
    command = ["node", str(ROOT / "tests" / "node" / "ui.mjs"), str(folder)]
    west = {**os.environ, "TZ": "America/Los_Angeles"}
    done = subprocess.run(
        command, input=json.dumps(questions), capture_output=True, text=True, timeout=60, check=False, env=west
    )
    assert done.returncode == 0, done.stderr
    answers: Answers = json.loads(done.stdout)
    return answers


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None, **more: Any) -> str:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps({'choices': choices, **more}, ensure_ascii=False)}\n\n"


TEXT = chunk({"role": "assistant", "content": ""}) + chunk({"content": "Grüße 🌍 "}) + chunk({"content": "an alle"})
FINISH = chunk({}, "stop")
USAGE = chunk(usage={"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8})
DONE = "data: [DONE]\n\n"


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_is_read_the_same_however_it_is_cut(page: Ask, line_end: str) -> None:
    text = (": a comment\n\n" + TEXT + FINISH + USAGE + DONE).replace("\n", line_end)
    chats = page(chats=[{"text": text, "size": size} for size in (1, 2, 3, 7, 64, 10_000)])["chats"]
    for told in chats:
        assert (told["state"], told["finish"], told["text"]) == ("finished", "stop", "Grüße 🌍 an alle")
        assert (told["usage"]["total_tokens"], told["facts"]["deployment"], told["started"]) == (8, "d", "d")
        assert 0 <= told["firstMs"] <= told["totalMs"]


def test_the_cost_that_a_stream_says_before_its_end_is_a_fact_and_other_comments_are_none(page: Ask) -> None:
    cost = ": keep-alive\n\n: x-pllm-cost-usd: 0.000123\n: x-pllm-estimated: true\n: x-pllm-colour: red\n\n"
    for text in (TEXT + FINISH + USAGE + cost + DONE, cost + BROKEN["an error event"]):
        for size in (1, 5, 10_000):
            [told] = page(chats=[{"text": text, "size": size}])["chats"]
            assert (told["facts"]["cost-usd"], told["facts"]["estimated"]) == ("0.000123", "true")
            assert "colour" not in told["facts"]
            assert told["text"] == "Grüße 🌍 an alle"
    assert page(chats=[{"text": TEXT + FINISH + DONE, "size": 9}])["chats"][0]["facts"]["cost-usd"] is None


BROKEN = {
    "nothing": "",
    "no finish reason": TEXT,
    "no finish reason, though it says it is done": TEXT + DONE,
    "no end marker": TEXT + FINISH,
    "an end marker that is cut off": TEXT + FINISH + "data: [DONE]\n",
    "an error event": TEXT + 'data: {"error": {"message": "It broke."}}\n\n',
    "an error event before an end that looks well": TEXT + 'data: {"error": {}}\n\n' + FINISH + DONE,
    "half a chunk": TEXT + 'data: {"choices": [{\n\n' + FINISH + DONE,
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_stream_that_does_not_end_as_it_should_is_broken_and_what_came_stays(page: Ask, case: str) -> None:
    [told] = page(chats=[{"text": BROKEN[case], "size": 50}])["chats"]
    assert (told["state"], bool(told["why"])) == ("broken", True)
    assert told["text"] == ("" if case == "nothing" else "Grüße 🌍 an alle")


def test_the_gateways_own_words_say_why_it_broke(page: Ask) -> None:
    [told] = page(chats=[{"text": BROKEN["an error event"], "size": 50}])["chats"]
    assert told["why"] == "It broke."


def test_a_connection_that_breaks_is_broken_and_one_that_was_stopped_is_stopped(page: Ask) -> None:
    reset, stopped = page(chats=[{"text": TEXT, "size": 50, "ends": name} for name in ("NetworkError", "AbortError")])["chats"]
    assert (reset["state"], stopped["state"]) == ("broken", "stopped")
    assert reset["text"] == stopped["text"] == "Grüße 🌍 an alle"


def test_thinking_is_kept_apart(page: Ask) -> None:
    text = chunk({"reasoning_content": "Hm. "}) + chunk({"reasoning": "Yes."}) + chunk({"content": "42"}) + FINISH + DONE
    [told] = page(chats=[{"text": text, "size": 9}])["chats"]
    assert (told["thinking"], told["text"], told["state"]) == ("Hm. Yes.", "42", "finished")


def test_an_answer_in_one_piece(page: Ask) -> None:
    whole = {"choices": [{"message": {"content": "42"}, "finish_reason": "length"}], "usage": {"total_tokens": 1}}
    cut = {"choices": [{"message": {"content": "4"}, "finish_reason": None}]}
    good, bad = page(chats=[{"text": json.dumps(one), "size": 1, "stream": False} for one in (whole, cut)])["chats"]
    assert (good["state"], good["finish"], good["text"], good["firstMs"]) == ("finished", "length", "42", None)
    assert (bad["state"], bad["text"]) == ("broken", "4")


def test_names_in_headers_are_read_as_they_were_meant(page: Ask) -> None:
    names = {"x-pllm-deployment": "%E6%A8%A1%E5%9E%8B/50%25", "x-pllm-model": "100%", "x-pllm-provider": "openai"}
    [told] = page(chats=[{"text": TEXT + FINISH + DONE, "size": 50, "names": names}])["chats"]
    assert [told["facts"][name] for name in ("deployment", "model", "provider")] == ["模型/50%", "100%", "openai"]
    assert told["facts"]["dropped"] is None


def test_a_refusal_is_no_answer(page: Ask) -> None:
    [told] = page(chats=[{"text": "", "size": 1, "refusal": 404}])["chats"]
    assert (told["thrown"], told["status"], told["started"]) == ("ApiError", 404, None)


def test_the_api_is_found_under_a_stage_a_domain_and_with_a_slash(page: Ask) -> None:
    paths = ["/ui", "/ui/", "/prod/ui", "/prod/ui/", "/ui/ui", "/a/b/ui"]
    assert page(roots=paths)["roots"] == ["", "", "/prod", "/prod", "/ui", "/a/b"]


FORMATS = [
    (["number", 1234567], "1,234,567"),
    (["number", None], "–"),
    (["compact", 9999], "9,999"),
    (["compact", 12345], "12.3K"),
    (["tokens", 1], "1 token"),
    (["usd", 0], "$0.00"),
    (["usd", 1234.5], "$1,234.50"),
    (["usd", 0.0421], "$0.0421"),
    (["usd", 0.000042], "$0.000042"),
    (["milliseconds", 0.424], "0.42 ms"),
    (["milliseconds", 840.4], "840 ms"),
    (["milliseconds", 1240], "1.24 s"),
    (["milliseconds", 9.999], "10 ms"),
    (["milliseconds", 999.9], "1.00 s"),
    (["milliseconds", 9_999], "10.0 s"),
    (["milliseconds", 59_999], "1 min 0 s"),
    (["milliseconds", 125_000], "2 min 5 s"),
    (["milliseconds", 179_900], "3 min 0 s"),
    (["percent", 0], "0%"),
    (["percent", 0.0004], "<0.1%"),
    (["percent", 0.1234], "12.3%"),
    (["percent", 1], "100%"),
    (["percent", None], "–"),
    (["ago", 0, 180_000], "3m ago"),
    (["day", 1_795_305_600_000], "21 Nov"),
    (["utcDay", 1_795_305_600_000], "22 Nov"),
    (["ago", 5 * 86_400_000, 0], "in 5d"),
    (["ago", 0, 1_000], "just now"),
    (["plural", 1, "request"], "1 request"),
    (["plural", 2, "request"], "2 requests"),
]


def test_numbers_are_written_as_people_read_them(page: Ask) -> None:
    assert page(formats=[question for question, _ in FORMATS])["formats"] == [answer for _, answer in FORMATS]


def test_a_limit_of_the_configuration_is_told_as_one_of_the_record_is(page: Ask) -> None:
    record = {"rpm": 60, "tpm": None, "max_parallel": None, "budget": None}
    free = {**record, "rpm": None}
    budget = {"limit_usd": 5, "period": "month", "timezone": "UTC"}
    held = {"requests": {"limit": 1000}, "tokens": None, "parallel": {"limit": 2}, "budget": budget}
    said = page(limits=[[record, None], [free, None], [free, held]])["limits"]
    assert said == [["60 requests/min"], [], ["1,000 requests/min", "2 at once", "$5.00 a month"]]
