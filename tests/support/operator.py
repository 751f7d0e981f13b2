"""An operator at /ui, as far as hands and eyes go: logs in, opens pages, reads what is there."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, Locator, Page, expect
from tests.support.browser import Watched, watched
from tests.support.processes import ROOT

_SHELL = ROOT / "layers" / "pllm" / "pllm" / "admin" / "ui" / "static" / "app.js"
PAGES: list[str] = re.findall(r'\{ name: "([a-z]+)"', _SHELL.read_text("utf-8"))
"""In the order of the navigation."""

DESKTOP, PHONE = (1280, 800), (390, 844)


@dataclass
class Operator:
    """Somebody at a watched page."""

    watched: Watched

    @property
    def page(self) -> Page:
        return self.watched.page

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def come(self) -> None:
        """To the login."""
        self.page.goto("/ui")
        expect(self.key_field).to_be_focused()

    @property
    def key_field(self) -> Locator:
        return self.page.get_by_label(re.compile(r"^Key\b"))

    def log_in(self, key: str) -> None:
        self.come()
        self.key_field.fill(key)
        self.page.get_by_role("button", name="Log in").click()
        self.wait_for("overview")

    def open(self, name: str) -> None:
        """A page by its link, if it is not open, and waits until it shows what it has to show."""
        if self.link(name).get_attribute("aria-current") != "page":
            self.link(name).click()
            self.wait_for(name)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("navigation", name="Pages").locator(f'a[href="#/{name}"]')

    def tile(self, label: str) -> float:
        """The value of a number with a name, to the unit: what is shown short says the whole when pointed at."""
        return exact(self._tile(label).locator("dd").first)

    def detail(self, label: str) -> float:
        """The first number of what is said below it."""
        return exact(self._tile(label).locator("dd").nth(1))

    def _tile(self, label: str) -> Locator:
        name = self.page.locator("dt", has_text=re.compile(f"^{label}$"))
        return self.main.locator("dl > div").filter(has=name)

    def table(self, caption: str) -> dict[str, dict[str, str]]:
        """The rows of a table by what tells them apart, and their cells by their labels; numbers to the unit."""
        rows = self.main.get_by_role("table", name=caption).locator("tbody tr")
        expect(rows.first).to_be_visible()
        found: dict[str, dict[str, str]] = rows.evaluate_all(
            """(rows) => {
                 const whole = (cell) => (cell.localName === "td" && cell.querySelector("[title]")?.title) || cell.innerText;
                 const cells = (row) => [...row.cells].map((cell) => [cell.dataset.label ?? "", whole(cell)]);
                 return Object.fromEntries(rows.map((row) => [row.dataset.key, Object.fromEntries(cells(row))]));
               }"""
        )
        return found

    def wait_for(self, name: str) -> None:
        expect(self.link(name)).to_have_attribute("aria-current", "page")
        expect(self.page.locator("#announcer")).to_have_text(f"{self.link(name).inner_text()} is open")
        expect(self.page.locator(".skeletons")).to_have_count(0)


def exact(place: Locator) -> float:
    """The first number in a title, or else in a text."""
    titled = place.locator("[title]")
    return number_in((titled.get_attribute("title") if titled.count() else None) or place.inner_text())


def number_in(words: str) -> float:
    """The first one that is not shortened: "12,345 tokens", "$0.05"."""
    found = re.search(r"-?[\d,]+(\.\d+)?(?![\d.]*[KMB])", words)
    assert found, f"no whole number in {words!r}"
    return float(found[0].replace(",", ""))


def overflow(page: Page) -> list[str]:
    """What makes the page wider than the window, and tables that hide a part of themselves: there should be none."""
    found: list[str] = page.evaluate(
        """() => {
             const wide = document.documentElement.scrollWidth > innerWidth;
             const out = (one) => wide && one.getBoundingClientRect().right > innerWidth + 1;
             const hides = (one) => one.matches(".table-region, .chat-log") && one.scrollWidth > one.clientWidth;
             const said = (one) => `${one.localName}.${one.className} ${one.getBoundingClientRect().right} ${one.scrollWidth}`;
             return [...document.querySelectorAll("body *")].filter((one) => out(one) || hides(one)).map(said).slice(0, 10);
           }"""
    )
    return found


@contextmanager
def operator(browser: Browser, url: str, size: tuple[int, int] = DESKTOP, *, touch: bool = False) -> Iterator[Operator]:
    """In a browser without a past. Whatever it complained about by the end must have been forgiven."""
    width, height = size
    with watched(browser, url, width=width, height=height, has_touch=touch, is_mobile=touch) as found:
        yield Operator(found)
        assert found.complaints == []
