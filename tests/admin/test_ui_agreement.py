"""What /ui shows is what clients saw, to the unit: read out of the pages by a browser, over the table of a known traffic."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from math import ceil

import pytest
from playwright.sync_api import expect
from tests.support.browser import browser
from tests.support.operator import Operator, number_in, operator
from tests.support.served import served
from tests.support.traffic import CATALOGUE, Traffic, run
from tests.support.traffic_admin import services_of

from pllm.admin.app import admin_app
from pllm.core.sketch import RELATIVE_ERROR

pytestmark = [pytest.mark.needs_chromium, pytest.mark.slow]

REQUESTS = 1_000


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return asyncio.run(run(REQUESTS))


@pytest.fixture(scope="module")
def reader(traffic: Traffic) -> Iterator[Operator]:
    """Somebody who reads, at the time at which the traffic ended."""

    @asynccontextmanager
    async def environment() -> AsyncIterator[Traffic]:
        yield traffic

    with (
        served(environment, lambda made: admin_app(services_of(made))) as plane,
        browser() as opened,
        operator(opened, plane.url) as somebody,
    ):
        somebody.page.clock.set_fixed_time(traffic.clock.wall_s())
        somebody.log_in("any")
        yield somebody


def test_the_overview_says_what_clients_saw(traffic: Traffic, reader: Operator) -> None:
    used = traffic.seen.used()
    assert traffic.seen.numbers["Requests"] == REQUESTS
    assert reader.tile("Requests") == used["requests"] == sum(traffic.seen.models.values())
    assert reader.tile("Tokens") == used["prompt_tokens"] + used["completion_tokens"]
    assert reader.tile("Cost") == used["cost_micro_usd"] / 1_000_000
    assert reader.detail("Error rate") == used["errors"]
    assert reader.tile("Active callers") == len(traffic.seen.callers)


@pytest.mark.parametrize("time", ["24 hours", "7 days", "30 days"])
def test_percentiles_are_those_of_the_answers_whatever_the_time(traffic: Traffic, reader: Operator, time: str) -> None:
    lines = [
        line for line in traffic.lines if line.get("message") == "request" and line["deployment"] and not line.get("error")
    ]
    latencies, firsts = (sorted(line[name] for line in lines if name in line) for name in ("latency_ms", "ttft_ms"))
    close = partial(pytest.approx, rel=RELATIVE_ERROR, abs=0.5)
    reader.open("overview")
    reader.main.get_by_role("radio", name=time).check()
    expect(reader.page.locator("#announcer")).to_have_text(f"Showing the last {time}")
    assert reader.tile("p95 latency") == close(latencies[ceil(0.95 * len(latencies)) - 1])
    assert reader.tile("First token") == close(firsts[ceil(0.5 * len(firsts)) - 1])
    reader.open("models")
    reader.main.get_by_role("radio", name=time).check()
    expect(reader.page.locator("#announcer")).to_have_text(f"Latencies are of the last {time}")
    ours = sorted(line["latency_ms"] for line in lines if line["deployment"] == "m@openai/first")
    shown = reader.table("Deployments of m")["m@openai/first"]
    assert number_in(shown["p99"]) == close(ours[ceil(0.99 * len(ours)) - 1])


def test_the_models_page_says_what_each_deployment_answered(traffic: Traffic, reader: Operator) -> None:
    reader.open("models")
    for model, deployments in CATALOGUE.models.items():
        shown = {one: int(row["Requests"]) for one, row in reader.table(f"Deployments of {model}").items()}
        assert shown == {one.id: traffic.seen.used(deployment=one.id)["requests"] for one in deployments}


def test_the_usage_page_says_what_clients_saw(traffic: Traffic, reader: Operator) -> None:
    reader.open("usage")
    used = traffic.seen.used()
    assert reader.tile("Requests") == used["requests"]
    assert reader.tile("Failed") == used["errors"]
    assert reader.tile("Tokens") == used["prompt_tokens"] + used["completion_tokens"]
    assert reader.tile("Cost") == used["cost_micro_usd"] / 1_000_000
    assert reader.detail("Cost") == traffic.seen.numbers["EstimatedRequests"] > 0


@pytest.mark.parametrize(("group", "place"), [("Key", 0), ("Model", 1), ("Deployment", 2)])
def test_the_usage_page_says_what_each_of_them_used(traffic: Traffic, reader: Operator, group: str, place: int) -> None:
    reader.open("usage")
    reader.main.get_by_role("group", name="Grouped by").get_by_role("radio", name=group).check()
    wanted: dict[str, Counter[str]] = {}
    for account, number in traffic.seen.accounts.items():
        wanted.setdefault(account[place], Counter())[account[3]] += number
    shown = reader.table(f"Usage by {group.lower()}")
    labels = ("Requests", "Failed", "Tokens", "Cost")
    numbers = {name: [number_in(row[label]) for label in labels] for name, row in shown.items()}
    assert numbers == {
        name: [one["requests"], one["errors"], one["prompt_tokens"] + one["completion_tokens"], one["cost_micro_usd"] / 1e6]
        for name, one in wanted.items()
    }
