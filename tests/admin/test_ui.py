"""/ui: the admin page's files, what they are sent with, and what they may not do."""

import asyncio
import json
import re
from pathlib import Path, PurePosixPath

import pytest
from mangum import Mangum
from tests.support.control import CONFIG, SCRAPE_TOKEN, Control
from tests.support.door import MASTER_KEY

from pllm.admin.app import api
from pllm.admin.ui import FILES, PAGE, VERSION

EVENT = Path(__file__).resolve().parents[2] / "events" / "health.json"
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))
STYLES = sorted(name for name in FILES if name.endswith(".css"))
TEXTS = {"index.html": PAGE.content.decode(), **{name: file.content.decode() for name, file in FILES.items()}}
_IMPORTED = re.compile(r"""(?:\bfrom|^import)\s*["']([^"']+)["']""", re.MULTILINE)
_LOADED = re.compile(r'(?:href|src)="(ui/[^"]+)"')


async def test_the_page_needs_no_credential(plane: Control) -> None:
    for path in ("/ui", "/ui/"):
        response = await plane.asked("GET", path, key="")
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert response.text.startswith("<!doctype html>")


@pytest.mark.parametrize("path", ["/ui", "/ui/"])
async def test_every_file_that_the_page_loads_is_there_with_or_without_a_slash_at_its_end(plane: Control, path: str) -> None:
    loaded = _LOADED.findall((await plane.asked("GET", path, key="")).text)
    assert {PurePosixPath(name).suffix for name in loaded} == {".js", ".css"}
    for name in loaded:
        address = str(PurePosixPath(path if path.endswith("/") else "/") / name)
        response = await plane.asked("GET", address, key="")
        assert response.status_code == 200, address
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(("ending", "kind"), [("js", "text/javascript"), ("css", "text/css")])
async def test_files_say_what_they_are(plane: Control, ending: str, kind: str) -> None:
    names = [name for name in FILES if name.endswith(ending)]
    assert names
    for name in names:
        response = await plane.asked("GET", f"/ui/{name}", key="")
        assert (response.status_code, response.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert response.content == FILES[name].content
        assert response.headers["cache-control"] == "no-cache"


def test_api_gateway_gets_every_file_as_text() -> None:
    """It decodes base64 only for the few types of its list: a file that came so would reach browsers encoded."""
    event = json.loads(EVENT.read_text("utf-8"))
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        served = Mangum(api(), lifespan="off")
        for name, text in TEXTS.items():
            path = "/ui" if name == "index.html" else f"/ui/{VERSION}/{name}"
            answer = served({**event, "path": path}, None)  # type: ignore[arg-type]
            assert (answer["statusCode"], answer["isBase64Encoded"], answer["body"]) == (200, False, text), name


@pytest.mark.parametrize("path", ["/ui", "/ui/app.js", f"/ui/{VERSION}/app.js", "/ui/theme.css", "/ui/nothing.js"])
async def test_every_answer_has_a_policy_that_lets_nothing_else_in(plane: Control, path: str) -> None:
    headers = (await plane.asked("GET", path, key="")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers.get_list("x-content-type-options") == ["nosniff"]


@pytest.mark.parametrize("path", ["/ui", "/ui/app.js", f"/ui/{VERSION}/app.js"])
async def test_what_a_browser_has_is_not_sent_again(plane: Control, path: str) -> None:
    first = await plane.asked("GET", path, key="")
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        again = await plane.client.get(path, headers={"authorization": "", "if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    other = await plane.client.get(path, headers={"authorization": "", "if-none-match": '"other"'})
    assert other.status_code == 200


async def test_an_answer_for_another_version_is_kept_by_nobody(plane: Control) -> None:
    response = await plane.asked("GET", f"/ui/{'0' * 16}/app.js", key="")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-cache")


async def test_a_head_has_headers_and_no_body(plane: Control) -> None:
    response = await plane.asked("HEAD", "/ui", key="")
    assert (response.status_code, response.headers["content-length"]) == (200, str(len(PAGE.content)))


@pytest.mark.parametrize(
    "path",
    [
        "/ui/../doorman.py",
        "/ui/%2e%2e/doorman.py",
        "/ui/..%2fdoorman.py",
        "/ui/pages/../../__init__.py",
        "/ui//etc/passwd",
        "/ui/%2fetc%2fpasswd",
        "/ui/__init__.py",
        "/ui/static/app.js",
        "/ui/pages",
        "/ui/pages/",
        "/ui/app.js/",
        "/ui/app.js%00",
        "/ui/APP.JS",
        "/ui/api/admin/keys",
        "/ui/../api/admin/keys",
    ],
)
async def test_nothing_but_the_packaged_files_is_served(plane: Control, path: str) -> None:
    response = await plane.client.get(path, headers={"authorization": ""})
    assert response.status_code in (401, 404)  # 401: the client itself has resolved the dots, and left /ui
    assert "def " not in response.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_files_are_read_and_nothing_else(plane: Control, method: str) -> None:
    assert (await plane.asked(method, "/ui", key="")).status_code == 401
    assert (await plane.asked(method, "/ui/app.js")).status_code == 405


async def test_no_neighbour_of_the_page_is_open(plane: Control) -> None:
    for path in ("/uix", "/UI", "/ui-2/app.js", "//ui", "/api/ui"):
        assert (await plane.asked("GET", path, key="")).status_code == 401


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_module_that_a_module_imports_is_there(name: str) -> None:
    folder = PurePosixPath(name).parent
    for target in _IMPORTED.findall(TEXTS[name]):
        assert target.startswith("."), f"{name} imports {target}: only relative addresses work under a stage"
        parts: list[str] = []
        for part in (folder / target).parts:
            parts = parts[:-1] if part == ".." else [*parts, part]
        assert "/".join(parts) in FILES, f"{name} imports {target}"


def test_every_listed_page_has_its_module() -> None:
    names = re.findall(r'\{ name: "(\w+)", title: "[^"]+" \}', TEXTS["app.js"])
    assert names
    for name in names:
        assert "export const title" in TEXTS[f"pages/{name}.js"]
        assert "export async function render(root, context)" in TEXTS[f"pages/{name}.js"]
    assert names == [name for name in re.findall(r"name: \"(\w+)\"", TEXTS["app.js"]) if f"pages/{name}.js" in FILES]


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_file_names_another_origin(name: str) -> None:
    allowed = ("http://www.w3.org/2000/svg",)  # a namespace: nothing is fetched
    found = [address for address in re.findall(r"""(?:https?:)?//[\w-]+\.[^\s"')]*""", TEXTS[name]) if address not in allowed]
    assert found == []


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_file_makes_code_or_markup_of_text_or_keeps_anything(name: str) -> None:
    code = re.sub(r"^\s*(//|\*|/\*).*$", "", TEXTS[name], flags=re.MULTILINE)
    forbidden = (
        r"\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc",
        r"\beval\(|new Function|setTimeout\(\s*[\"'`]|javascript:",
        r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.|serviceWorker",
        r"setAttribute\(\s*[\"']style|[{,]\s*style:(?! \"(?:narrow|currency)\")|\sstyle=|<style|\son\w+=\"",
        r"@import",
    )
    for pattern in forbidden:
        assert re.search(pattern, code) is None, f"{name}: {pattern}"


def test_modules_stay_small() -> None:
    assert {name: lines for name in SCRIPTS if (lines := len(TEXTS[name].splitlines())) > 260} == {}


def test_what_is_public_has_no_secret() -> None:
    whole = "\n".join(TEXTS.values())
    for secret in (MASTER_KEY, SCRAPE_TOKEN, "sk-pllm-local", CONFIG):
        assert secret not in whole
    assert re.search(r"sk-[A-Za-z0-9_-]{16,}", whole) is None


def test_the_version_follows_from_every_file() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", VERSION)
    assert "{version}" not in TEXTS["index.html"]
    assert len({file.etag for file in FILES.values()}) == len(FILES)
