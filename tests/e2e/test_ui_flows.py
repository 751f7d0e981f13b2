"""What administrators do on /ui, and what it does to the traffic: judged by the official SDK, the provider and the API."""

import json
import re
import time
from collections.abc import Callable, Iterator

import httpx
import openai
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.e2e.ui_world import BAIT, ODD_ERROR, ODD_MODEL, World, configuration, world
from tests.support.browser import violations
from tests.support.operator import Operator, operator, overflow
from tests.support.processes import LOCAL_KEY

pytestmark = [pytest.mark.needs_chromium, pytest.mark.slow]

# Five seconds are promised; what a machine under load adds is not the gateway's.
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, chrome: Browser) -> Iterator[World]:
    # One worker: what it was seen to do, it does.
    with world(tmp_path_factory.mktemp("ui"), workers=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def administrator(gateway: World, chrome: Browser) -> Iterator[Operator]:
    with operator(chrome, gateway.url) as somebody:
        somebody.log_in(LOCAL_KEY)
        yield somebody


@pytest.fixture(autouse=True)
def nothing_is_complained_about(administrator: Operator) -> Iterator[None]:
    yield
    assert administrator.watched.complaints == []


def until(holds: Callable[[], bool], what: str) -> None:
    started_s = time.monotonic()
    while not holds():
        assert time.monotonic() - started_s < DEADLINE_S, what


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_used_counted_and_revoked(gateway: World, administrator: Operator) -> None:
    secret = make_key(administrator, "from the page")
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=secret, max_retries=0) as sdk:
        answer = sdk.chat.completions.create(model="smart", messages=[{"role": "user", "content": "hello"}])
        assert answer.choices[0].message.content == "You said: hello"
        gateway.settled()
        used = usage_of(administrator, "from the page")
        assert (used["Requests"], used["Tokens"], used["Cost"]) == ("1", "13", "$0.000019")
        revoke(administrator, "from the page")
        with pytest.raises(openai.AuthenticationError) as refusal:
            sdk.chat.completions.create(model="smart", messages=[{"role": "user", "content": "hello"}])
        assert "revoked" in refusal.value.message


def make_key(at: Operator, name: str) -> str:
    """A limited one: its revocation holds at once. The secret is shown once and kept by nothing of the page."""
    at.open("keys")
    at.main.get_by_role("button", name="New key").click()
    at.dialog.get_by_label("Name").fill(name)
    at.dialog.get_by_label("Requests a minute").fill("60")
    assert violations(at.page) == []
    at.dialog.get_by_role("button", name="Create key").click()
    shown = at.dialog.get_by_label("The key", exact=True)
    secret = shown.inner_text()
    assert re.fullmatch(r"sk-pllm-[\w-]{40,}", secret)
    assert violations(at.page) == []
    at.page.keyboard.press("Escape")
    expect(shown).to_be_visible()
    at.dialog.get_by_role("button", name="I have stored the key").click()
    expect(at.main.get_by_role("button", name=name)).to_be_visible()
    assert secret not in at.page.content()
    return secret


def usage_of(at: Operator, key: str) -> dict[str, str]:
    at.open("usage")
    at.main.get_by_role("group", name="Grouped by").get_by_role("radio", name="Key").check()
    [row] = [row for row in at.table("Usage by key").values() if row["Key"] == key]
    return row


def revoke(at: Operator, name: str) -> None:
    at.open("keys")
    at.main.get_by_role("button", name=name).click()
    at.dialog.get_by_role("button", name="Revoke").click()
    assert violations(at.page) == []
    at.dialog.get_by_role("button", name="Revoke for good").click()
    expect(at.main.get_by_role("row").filter(has_text=name).get_by_text("revoked")).to_be_visible()


def test_a_mistake_in_a_form_is_told_where_it_is(administrator: Operator) -> None:
    administrator.open("keys")
    administrator.main.get_by_role("button", name="New key").click()
    administrator.dialog.get_by_role("button", name="Create key").click()
    name = administrator.dialog.get_by_label("Name")
    expect(name).to_have_attribute("aria-invalid", "true")
    expect(administrator.dialog.get_by_role("alert").filter(has_text="'name' must be")).to_be_visible()
    administrator.page.keyboard.press("Escape")
    expect(administrator.dialog).to_have_count(0)
    administrator.watched.forgive("400")


# --- Breakers --------------------------------------------------------------------------------------------------------


def test_a_breaker_that_is_forced_open_keeps_traffic_away(gateway: World, administrator: Operator) -> None:
    [smart] = [one for one in gateway.admin("GET", "/api/admin/models")["data"] if one["name"] == "smart"]
    primary, secondary = (one["id"] for one in smart["deployments"])
    until(lambda: answered_by(gateway) == primary, "the first in order does not answer")
    change_breaker(administrator, primary, "Force open")
    expect(row_of(administrator, primary).get_by_text("forced open")).to_be_visible()
    until(lambda: answered_by(gateway) == secondary, "traffic still goes there")
    asked = gateway.provider.asked["primary"]
    for _ in range(5):
        assert answered_by(gateway) == secondary
    assert gateway.provider.asked["primary"] == asked
    change_breaker(administrator, primary, "Automatic")
    expect(row_of(administrator, primary)).not_to_contain_text("forced")
    until(lambda: answered_by(gateway) == primary, "traffic does not come back")


def answered_by(gateway: World) -> str:
    return gateway.ask("smart").headers["x-pllm-deployment"]


def change_breaker(at: Operator, deployment: str, wish: str) -> None:
    at.open("models")
    at.main.get_by_role("button", name=f"Change the breaker of {deployment}", exact=True).click()
    at.dialog.get_by_role("radio", name=wish).check()
    assert violations(at.page) == []
    at.dialog.get_by_role("button", name="Apply").click()
    expect(at.dialog).to_have_count(0)


def row_of(at: Operator, deployment: str) -> Locator:
    return at.main.get_by_role("row").filter(has_text=deployment)


# --- Chat ------------------------------------------------------------------------------------------------------------


def test_an_answer_is_shown_as_it_comes_with_who_gave_it_and_what_it_cost(gateway: World, administrator: Operator) -> None:
    answer = say(administrator, "slow", "hello")
    expect(answer.get_by_text("answering")).to_be_visible()
    expect(answer.locator(".chat-text").last).to_have_text("You ")
    gateway.release()
    expect(answer.get_by_text("finished")).to_be_visible()
    expect(answer.locator(".chat-text").last).to_have_text("You said: hello")
    told = facts(answer)
    assert told["Answered by"].startswith("slow@compatible/slow")
    assert told["Tokens"] == "10 in, 3 out"
    assert told["Cost"] == "$0.000019"


def test_a_stream_that_breaks_is_shown_as_broken(administrator: Operator) -> None:
    answer = say(administrator, "broken", "hello")
    expect(answer.get_by_text("broken", exact=True).last).to_be_visible()
    expect(answer.get_by_text("The provider's stream broke")).to_be_visible()
    assert facts(answer)["Cost"].endswith(", estimated")
    expect(answer.locator(".chat-text").last).to_have_text("You said: hello")


def test_a_provider_s_error_is_text_and_nothing_else(administrator: Operator) -> None:
    answer = say(administrator, "refusing", f"I say {BAIT}")
    expect(answer.get_by_text("refused", exact=True)).to_be_visible()
    expect(answer.get_by_text(ODD_ERROR)).to_be_visible()
    expect(administrator.main.get_by_text(f"I say {BAIT}")).to_be_visible()
    assert violations(administrator.page) == []
    administrator.watched.forgive("400")


def test_a_conversation_with_a_long_name_keeps_its_place(administrator: Operator) -> None:
    answer = say(administrator, ODD_MODEL, "long" * 100)
    expect(answer.get_by_text("finished")).to_be_visible()
    assert facts(answer)["Provider"] == "compatible"
    assert overflow(administrator.page) == []


def say(at: Operator, model: str, words: str) -> Locator:
    at.open("chat")
    at.main.get_by_label("Model").select_option(model)
    at.main.get_by_label("Message").fill(words)
    at.page.keyboard.press("Enter")
    return at.main.get_by_role("article").last


def facts(answer: Locator) -> dict[str, str]:
    found: dict[str, str] = answer.locator("dl > div").evaluate_all(
        "(rows) => Object.fromEntries(rows.map((row) => [...row.children].map((part) => part.innerText)))"
    )
    return found


# --- Usage -----------------------------------------------------------------------------------------------------------


def test_the_csv_is_what_the_api_says(gateway: World, administrator: Operator) -> None:
    gateway.settled()
    administrator.open("usage")
    page: Page = administrator.page
    with page.expect_download() as saved, page.expect_request(re.compile("format=csv")) as asked:
        administrator.main.get_by_role("button", name="Download these numbers as CSV").click()
    same = httpx.get(asked.value.url, headers={"authorization": f"Bearer {LOCAL_KEY}"}, timeout=30)
    assert saved.value.path().read_bytes() == same.content
    assert same.text.count("\n") > 3
    assert re.fullmatch(r"pllm-usage-by-\w+-[\d-]+-to-[\d-]+\.csv", saved.value.suggested_filename)


# --- Settings --------------------------------------------------------------------------------------------------------


def test_a_wrong_configuration_is_not_published(administrator: Operator) -> None:
    administrator.open("settings")
    text_of(administrator).fill("modle_list: []\n")
    administrator.main.get_by_role("button", name="Publish").click()
    expect(administrator.main.get_by_text("It cannot be published.")).to_be_visible()
    expect(administrator.main.get_by_role("list", name="Problems")).to_contain_text("unknown key 'modle_list'")
    expect(administrator.dialog).to_have_count(0)
    assert violations(administrator.page) == []


def test_a_configuration_is_published_is_running_and_is_gone_back_from(gateway: World, administrator: Operator) -> None:
    administrator.open("settings")
    fresh = configuration(gateway.upstream.url, model_aliases={"fresh": ["smart"]})
    text_of(administrator).fill(json.dumps(fresh, indent=2))
    administrator.main.get_by_role("button", name="Publish").click()
    administrator.dialog.get_by_label("Note").fill(f"first {BAIT}")
    expect(administrator.dialog.locator("ins").filter(has_text='"fresh"')).to_be_visible()
    assert violations(administrator.page) == []
    administrator.dialog.get_by_role("button", name="Publish").click()
    expect(administrator.main.get_by_text("version 1").first).to_be_visible()
    expect(administrator.main.get_by_role("row").filter(has_text=f"first {BAIT}")).to_contain_text("in use")
    until(lambda: gateway.ask("fresh").status_code == 200, "the data plane does not serve the new alias")
    assert gateway.admin("GET", "/api/admin/config/versions")["current"] == 1
    administrator.main.get_by_role("button", name="Go back: The deployed one").click()
    administrator.dialog.get_by_role("button", name="Go back").click()
    expect(administrator.dialog).to_have_count(0)
    until(lambda: gateway.ask("fresh").status_code == 404, "the data plane still serves the alias that is gone")
    expect(administrator.main.get_by_text("in every environment")).to_be_visible(timeout=DEADLINE_S * 1000)


def text_of(at: Operator) -> Locator:
    return at.main.get_by_label("Configuration, YAML or JSON")
