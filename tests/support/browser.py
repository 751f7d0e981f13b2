"""A real Chromium, driven by Playwright, and pages that are watched: whatever a browser complains about is written down.

Only test modules import this. Where playwright is not installed, that skips them, loudly; in CI it fails them.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import ROOT, require

if find_spec("playwright") is None:
    if os.environ.get("CI") == "true":
        pytest.fail("CI needs playwright (make check installs it)")
    pytest.skip("*** playwright is not here (make check installs it) ***", allow_module_level=True)

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""What it is called where. `.ci/run` looks for the same."""

AXE = ROOT / ".tools" / "node" / "node_modules" / "axe-core" / "axe.min.js"
SHOTS = ROOT / ".build" / "ui"

_FLAGS = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# How long something that must come may take on a machine under load. Nothing ever waits that long for nothing.
_PATIENCE_MS = 15_000
expect.set_options(timeout=_PATIENCE_MS)
_GRAVE = ("serious", "critical")
_NOTE_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  complain(`CSP ${event.effectiveDirective}: ${event.blockedURI} ${event.sample} (${event.sourceFile}:${event.lineNumber})`));
"""


def chromium() -> str | None:
    """Where it is: PLLM_CHROMIUM, or the first of NAMES on PATH."""
    return os.environ.get("PLLM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Nothing is downloaded. Inside the block the thread's asyncio belongs to Playwright: no coroutine can be run."""
    path = chromium()
    require(path is not None, "Chromium (PLLM_CHROMIUM, or on PATH)")
    require(AXE.is_file(), "axe-core (npm; make node installs it)")
    flags = [*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield opened
        finally:
            opened.close()


@dataclass
class Watched:
    """A page and what was wrong with it so far: console errors and warnings, exceptions, failed requests, refused content."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def forgive(self, *parts: str, patience_ms: float = _PATIENCE_MS) -> None:
        """Takes out complaints that have one of these parts in them. Every part must have been complained about, or be soon:
        what a page shows and what it complains of do not come in an order."""
        deadline_s = time.monotonic() + patience_ms / 1000
        while missing := [part for part in parts if not any(part in one for one in self.complaints)]:
            assert time.monotonic() < deadline_s, (missing, self.complaints)
            self.page.wait_for_timeout(20)
        self.complaints[:] = [one for one in self.complaints if not any(part in one for part in parts)]

    def shoot(self, name: str) -> Path:
        """A screenshot into the build's output."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")
        return SHOTS / f"{name}.png"

    def _on_complaint(self, words: str) -> None:
        self.complaints.append(words)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _on_failed_request(self, request: Request) -> None:
        # Given up by the page itself, which does so when it is left, and may be in the middle of a refresh then.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.method} {request.url} {request.failure}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 500:
            self.complaints.append(f"status {response.status}: {response.url}")


@contextmanager
def watched(browser: Browser, base_url: str, *, width: int, height: int, **options: Any) -> Iterator[Watched]:
    """A page in a context of its own: nothing is shared with another. `options`: of the context."""
    context = browser.new_context(
        base_url=base_url, viewport={"width": width, "height": height}, reduced_motion="reduce", **options
    )
    context.set_default_timeout(_PATIENCE_MS)
    try:
        yield watch(context)
    finally:
        context.close()


def watch(context: BrowserContext) -> Watched:
    """One more page of a context."""
    page = context.new_page()
    found = Watched(page)
    page.expose_function("complain", found._on_complaint)
    page.add_init_script(_NOTE_VIOLATIONS)
    page.on("console", found._on_console)
    page.on("pageerror", lambda error: found.complaints.append(f"exception: {error}"))
    page.on("requestfailed", found._on_failed_request)
    page.on("response", found._on_response)
    return found


def violations(page: Page) -> list[str]:
    """What axe finds that is serious or critical, a line each, with the first elements it is about."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_axe())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations'], preload: false})")
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {json.dumps([_element(node) for node in one['nodes'][:3]])}"
        for one in found["violations"]
        if one["impact"] in _GRAVE
    ]


@cache
def _axe() -> str:
    return AXE.read_text("utf-8")


def _element(node: dict[str, Any]) -> str:
    messages = [check["message"] for check in (*node["any"], *node["all"], *node["none"])]
    return f"{node['html'][:160]} {messages[:1]}"
