"""Every page of /ui in a real browser, against a running gateway with traffic: what is seen, heard, refused and left behind."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import Route as Held
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.e2e.ui_world import BAIT, World, world
from tests.support.browser import SHOTS, violations
from tests.support.operator import DESKTOP, PAGES, PHONE, Operator, operator, overflow
from tests.support.processes import LOCAL_KEY
from tests.support.served import served

pytestmark = [pytest.mark.needs_chromium, pytest.mark.slow]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, chrome: Browser) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("ui")) as opened:
        yield opened


@pytest.fixture(scope="module")
def at_desk(gateway: World, chrome: Browser) -> Iterator[Operator]:
    """Logged in, at a wide window; goes from page to page as people do."""
    with operator(chrome, gateway.url, DESKTOP) as somebody:
        somebody.log_in(LOCAL_KEY)
        yield somebody


@pytest.fixture(scope="module")
def on_phone(gateway: World, chrome: Browser) -> Iterator[Operator]:
    with operator(chrome, gateway.url, PHONE, touch=True) as somebody:
        somebody.log_in(LOCAL_KEY)
        yield somebody


@pytest.fixture(params=["desktop", "phone"])
def somebody(request: pytest.FixtureRequest) -> tuple[Operator, int]:
    """An operator and the width of the window."""
    fixture, (width, _) = {"desktop": ("at_desk", DESKTOP), "phone": ("on_phone", PHONE)}[request.param]
    found: Operator = request.getfixturevalue(fixture)
    return found, width


# --- The way in and out ----------------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused_with_a_reason(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as stranger:
        stranger.come()
        stranger.watched.shoot(f"login-{DESKTOP[0]}")
        for colours in ("light", "dark"):
            stranger.page.emulate_media(color_scheme=colours)
            assert violations(stranger.page) == [], colours
        stranger.key_field.fill("sk-wrong")
        stranger.key_field.press("Enter")
        expect(stranger.page.get_by_text("This key is not known, has expired, or was revoked.")).to_be_visible()
        expect(stranger.key_field).to_be_focused()
        assert violations(stranger.page) == []
        stranger.watched.forgive("401")


def test_the_first_paint_is_written_down(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as somebody:
        somebody.come()
        somebody.page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
        paint = somebody.page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
        loaded = somebody.page.evaluate(
            """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
                 .reduce((sum, one) => ({files: sum.files + 1, bytes: sum.bytes + one.transferSize}), {files: 0, bytes: 0})"""
        )
        SHOTS.mkdir(parents=True, exist_ok=True)
        (SHOTS / "first-paint.json").write_text(json.dumps({"first_contentful_paint_ms": round(paint, 1), **loaded}) + "\n")
        assert loaded["bytes"] > 0


def test_the_key_is_in_memory_and_nowhere_else(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as somebody:
        somebody.log_in(LOCAL_KEY)
        somebody.open("keys")
        kept = somebody.page.evaluate("() => [localStorage.length, sessionStorage.length, document.cookie, location.href]")
        assert kept == [0, 0, "", f"{gateway.url}/ui#/keys"]
        assert somebody.page.context.cookies() == []
        assert somebody.page.evaluate("async () => (await indexedDB.databases()).length") == 0
        assert LOCAL_KEY not in somebody.page.content()
        somebody.page.reload()
        expect(somebody.key_field).to_be_visible()
        expect(somebody.page.get_by_role("navigation")).to_have_count(0)


def test_logging_out_leaves_nothing_behind(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as somebody:
        somebody.log_in(LOCAL_KEY)
        somebody.page.get_by_role("button", name="Log out").click()
        expect(somebody.key_field).to_have_value("")
        assert BAIT not in somebody.page.content()


def test_a_key_without_a_role_is_told_what_it_lacks(gateway: World, chrome: Browser) -> None:
    user = gateway.admin("POST", "/api/admin/keys", {"name": "user"})
    with operator(chrome, gateway.url) as somebody:
        somebody.come()
        somebody.key_field.fill(user["key"])
        somebody.key_field.press("Enter")
        expect(somebody.page.get_by_text("it needs the role admin or viewer")).to_be_visible()
        somebody.watched.forgive("403")


def test_a_viewer_looks_and_changes_nothing(gateway: World, chrome: Browser) -> None:
    viewer = gateway.admin("POST", "/api/admin/keys", {"name": "viewer", "role": "viewer"})
    with operator(chrome, gateway.url) as somebody:
        sent: list[str] = []
        somebody.page.on("request", lambda request: sent.append(request.method))
        somebody.log_in(viewer["key"])
        for name in PAGES:
            somebody.open(name)
            assert changing(somebody) == []
        somebody.open("keys")
        for tab in ("Teams", "Audit log"):
            somebody.main.get_by_role("tab", name=tab).click()
            expect(somebody.page.locator(".skeletons")).to_have_count(0)
            assert changing(somebody) == []
        somebody.main.get_by_role("tab", name="Keys").click()
        somebody.main.get_by_role("button", name="viewer").click()
        expect(somebody.dialog).to_be_visible()
        assert [button.inner_text() for button in somebody.dialog.get_by_role("button").all()] == ["", "Usage", "Close"]
        assert set(sent) == {"GET"}


def changing(at: Operator) -> list[str]:
    """Buttons of the open page that do more than look."""
    words = "new|change|delete|revoke|disable|rotate|breaker|force|publish|go back|save|send|apply|add|validate|compare"
    return [button.inner_text() for button in at.main.get_by_role("button", name=re.compile(words, re.IGNORECASE)).all()]


def test_a_key_that_is_stopped_leads_back_to_the_login(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as somebody:
        somebody.log_in(LOCAL_KEY)
        refusal = {"error": {"message": f"It was revoked {BAIT}", "type": "x", "param": None, "code": None}}
        somebody.page.route("**/v1/models", lambda route: route.fulfill(status=401, json=refusal))
        somebody.link("chat").click()
        expect(somebody.page.get_by_text(f"You were logged out: It was revoked {BAIT}")).to_be_visible()
        expect(somebody.key_field).to_be_focused()
        expect(somebody.page.get_by_role("navigation")).to_have_count(0)
        somebody.watched.forgive("401")


def test_a_gateway_that_is_gone_is_told_and_tried_again(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as somebody:
        somebody.log_in(LOCAL_KEY)
        somebody.page.route("**/api/admin/routes*", lambda route: route.abort())
        somebody.link("routes").click()
        expect(somebody.main.get_by_role("alert")).to_contain_text("The gateway cannot be reached")
        assert violations(somebody.page) == []
        somebody.page.unroute_all()
        somebody.main.get_by_role("button", name="Try again").click()
        somebody.wait_for("routes")
        expect(somebody.main.get_by_role("alert")).to_have_count(0)
        somebody.watched.forgive("ERR_FAILED")


def test_the_page_works_below_a_stage_of_an_api(gateway: World, chrome: Browser) -> None:
    """As in the cloud: https://id.execute-api.region.amazonaws.com/prod/ui."""

    async def forward(request: Request) -> Response:
        path = request.url.path.removeprefix("/prod")
        async with httpx.AsyncClient(timeout=30) as client:
            headers = {name: value for name, value in request.headers.items() if name in ("authorization", "accept")}
            answer = await client.get(f"{gateway.url}{path}?{request.url.query}", headers=headers)
        kept = {name: value for name, value in answer.headers.items() if name in ("content-type", "content-security-policy")}
        return Response(answer.content, answer.status_code, kept)

    @asynccontextmanager
    async def stage() -> AsyncIterator[Starlette]:
        yield Starlette(routes=[Route("/prod/{path:path}", forward)])

    with served(stage, lambda app: app) as api, operator(chrome, f"{api.url}/prod/") as somebody:
        somebody.page.goto("ui")
        somebody.key_field.fill(LOCAL_KEY)
        somebody.key_field.press("Enter")
        somebody.wait_for("overview")
        somebody.open("models")
        assert somebody.main.get_by_role("alert").count() == 0


# --- Without a mouse -------------------------------------------------------------------------------------------------


def test_the_keyboard_is_enough(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as somebody:
        page = somebody.page
        somebody.come()
        page.keyboard.type(LOCAL_KEY)
        page.keyboard.press("Enter")
        somebody.wait_for("overview")
        page.evaluate("() => document.activeElement.blur()")
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to content")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(somebody.main).to_be_focused()
        reach(page, somebody.link("keys"), "Shift+Tab")
        page.keyboard.press("Enter")
        somebody.wait_for("keys")
        create = somebody.main.get_by_role("button", name="New key")
        reach(page, create, "Tab")
        page.keyboard.press("Enter")
        expect(somebody.dialog).to_be_visible()
        assert page.evaluate("() => document.activeElement.closest('dialog') !== null")
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(somebody.dialog).to_have_count(0)
        expect(create).to_be_focused()


def reach(page: Page, wanted: Locator, key: str, most: int = 60) -> None:
    """Presses a key until an element has the focus. What has it meanwhile must be visible."""
    for _ in range(most):
        page.keyboard.press(key)
        if wanted.evaluate("(one) => one === document.activeElement"):
            return
        seen = page.evaluate("() => document.activeElement.checkVisibility()")
        assert seen, page.evaluate("() => document.activeElement.outerHTML.slice(0, 200)")
    raise AssertionError(f"{most} times {key} did not reach it")


# --- Every page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_readable_by_all(somebody: tuple[Operator, int], name: str) -> None:
    operator, width = somebody
    operator.page.emulate_media(color_scheme="light")
    operator.open(name)
    operator.watched.shoot(f"{name}-{width}")
    assert operator.watched.complaints == []
    assert operator.main.get_by_role("heading", level=1).count() == 1
    assert operator.main.get_by_role("alert").all_inner_texts() == []
    assert overflow(operator.page) == []
    # Names that try to be markup are words: nothing was made of them, and no script of theirs ran (it would have complained).
    assert operator.page.locator("img, script:not([src])").count() == 0
    assert name == "settings" or BAIT in (operator.main.text_content() or "")
    for colours in ("light", "dark"):
        operator.page.emulate_media(color_scheme=colours)
        assert violations(operator.page) == [], colours


def test_the_navigation_has_every_page(at_desk: Operator) -> None:
    assert set(PAGES) == {"overview", "models", "keys", "usage", "routes", "chat", "settings"}
    links = at_desk.page.get_by_role("navigation", name="Pages").get_by_role("link")
    assert [link.get_attribute("href") for link in links.all()] == [f"#/{name}" for name in PAGES]


def test_an_address_that_is_no_page_says_so(at_desk: Operator) -> None:
    at_desk.page.evaluate("() => { location.hash = '#/nothing' }")
    expect(at_desk.main.get_by_text("There is no such page")).to_be_visible()


# --- What is not there at first --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", ["Teams", "Audit log"])
def test_a_tab_is_whole_too(somebody: tuple[Operator, int], tab: str) -> None:
    operator, width = somebody
    operator.open("keys")
    operator.main.get_by_role("tab", name=tab).click()
    panel = operator.main.get_by_role("tabpanel", name=tab)
    expect(panel.get_by_role("heading", name=tab)).to_be_visible()
    expect(panel).to_contain_text("red")
    operator.watched.shoot(f"keys-{tab.split()[0].lower()}-{width}")
    assert overflow(operator.page) == []
    assert violations(operator.page) == []
    operator.main.get_by_role("tab", name="Keys").click()


def test_a_tab_that_is_slow_to_come_does_not_overwrite_the_one_after_it(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as somebody:
        somebody.log_in(LOCAL_KEY)
        somebody.open("keys")
        held: list[Held] = []
        somebody.page.route("**/api/admin/keys?*", lambda route: held.append(route))
        tabs = somebody.main.get_by_role("tab")
        tabs.get_by_text("Teams").click()
        tabs.get_by_text("Keys").click()
        tabs.get_by_text("Audit log").click()
        panel = somebody.main.get_by_role("tabpanel")
        expect(panel.get_by_role("heading", name="Audit log")).to_be_visible()
        with somebody.page.expect_request_finished(lambda request: "/api/admin/keys?" in request.url):
            held[0].continue_()
        somebody.page.evaluate("() => new Promise((seen) => setTimeout(seen, 50))")  # what would come of it has come
        expect(panel.get_by_role("heading", name="Audit log")).to_be_visible()
        expect(panel.get_by_role("heading", name="Virtual keys")).to_have_count(0)


def test_a_page_that_is_left_before_it_came_gives_up_what_it_asked_for_and_nobody_complains(
    gateway: World, chrome: Browser
) -> None:
    with operator(chrome, gateway.url) as somebody:
        somebody.log_in(LOCAL_KEY)
        held: list[Held] = []
        somebody.page.route("**/api/admin/models*", lambda route: held.append(route))
        with somebody.page.expect_event("requestfailed") as given_up:
            with somebody.page.expect_request("**/api/admin/models*"):
                somebody.link("models").click()
            somebody.link("keys").click()
        assert "/api/admin/models" in given_up.value.url
        somebody.wait_for("keys")
        assert held


def test_dialogs_fit_and_are_readable_by_all(somebody: tuple[Operator, int]) -> None:
    operator, width = somebody
    operator.open("keys")
    keys = operator.main.get_by_role("tabpanel", name="Keys")
    for opener, name in ((keys.get_by_role("button", name="New key"), "new"), (keys.get_by_role("button", name=BAIT), "key")):
        opener.click()
        expect(operator.dialog).to_be_visible()
        operator.watched.shoot(f"dialog-{name}-{width}")
        assert overflow(operator.page) == []
        assert violations(operator.page) == []
        operator.page.keyboard.press("Escape")
        expect(operator.dialog).to_have_count(0)


def test_the_policy_stops_a_name_even_if_it_became_markup(gateway: World, chrome: Browser) -> None:
    with operator(chrome, gateway.url) as somebody:
        somebody.log_in(LOCAL_KEY)
        names = [one["name"] for path in ("models", "keys") for one in gateway.admin("GET", f"/api/admin/{path}")["data"]]
        odd = [name for name in names if BAIT in name]
        assert len(odd) == 2
        with somebody.page.expect_event("console", lambda message: "Failed to load resource" in message.text):
            somebody.page.evaluate("(names) => document.body.insertAdjacentHTML('beforeend', names.join(''))", odd)
        expect(somebody.page.locator("img[src=x]")).to_have_count(2)
        somebody.page.wait_for_function("() => [...document.images].every((one) => one.complete)")
        assert "a script ran" not in somebody.watched.complaints
        somebody.watched.forgive("CSP script-src-attr", "Content Security Policy", "Failed to load resource")
