"""Every client dialect against every upstream dialect, with the official SDKs and a mock of the providers that is not ours.

The result is docs/matrix.md. PLLM_WRITE_MATRIX=1 writes it.
"""

import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.matrix.clients import CLIENTS, ERRORS, close_sdks
from tests.e2e.matrix.features import ENCODED, FEATURES, PNG, Feature, Outcome
from tests.e2e.matrix.table import PAGE, Cell, Judge, page
from tests.support.aimock import aimock
from tests.support.dialects import CHAT, CLAUDE, CONVERSE, GEMINI, MESSAGES, Dialect
from tests.support.gateway import Harness, gateway
from tests.support.served import Served, served
from tests.support.tls import contexts
from tests.support.upstream import Upstream, chunk, upstream, whole
from tests.wire.bedrock_converse.judge import read_by_botocore
from tests.wire.bedrock_converse.recordings import recordings

from pllm.core.breaker_policy import BreakerPolicy
from pllm.core.deployment import Deployment
from pllm.core.profile import ModelProfile
from pllm.edge.app import Gateway
from pllm.providers.base import HttpRequest, Timeouts, UpstreamResponse
from pllm.providers.media import FetchLimits, MediaFetcher

pytestmark = [pytest.mark.needs_node, pytest.mark.needs_cassettes, pytest.mark.slow]

UPSTREAMS: dict[str, Dialect] = {"Chat": CHAT, "Messages": MESSAGES, "Converse": CONVERSE, "Gemini": GEMINI}
PROFILES = {
    "Messages": CLAUDE,
    "Converse": CLAUDE,
    "Gemini": ModelProfile(thinking="level", known=True),
}
FIXTURES = Path(__file__).parent / "matrix" / "fixtures.json"
SERVER, CLIENT = contexts("media.example")

# The mock's ConverseStream begins text blocks with an event that botocore refuses: real streams are played instead.
RECORDED = {
    "text": "test-bedrock-model-iter-stream-1",
    "tool result": "test-bedrock-model-iter-stream-1",
    "image as data": "test-bedrock-model-iter-stream-1",
    "image by URL": "test-bedrock-model-iter-stream-1",
    "thinking": "test-bedrock-model-thinking-part-stream-0",
    "JSON schema": "test-bedrock-native-output-stream-0",
}

# What of a request must be in the body that leaves the gateway, whatever its dialect.
THINKING = {"Chat": "reasoning_effort", "Messages": "thinking", "Converse": "thinking", "Gemini": "thinkingConfig"}
FETCHED = ("Converse", "Gemini")

PASSED: dict[Cell, Judge] = {}


@dataclass
class Bench:
    """The gateway with a deployment for each upstream, the same replayed, and where its pictures come from."""

    gateway: Harness
    player: Upstream
    media: Upstream
    sent: list[HttpRequest]

    @property
    def picture(self) -> str:
        return self.media.base_url.replace("127.0.0.1", "media.example") + "/point.png"


@asynccontextmanager
async def bench(mock: str) -> AsyncIterator[Bench]:
    async def names(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with upstream() as player, upstream(SERVER) as media:
        media.will(whole(PNG))
        deployments = [_deployment(name, Upstream(mock)) for name in UPSTREAMS]
        deployments.append(replace(_deployment("Converse", player), id="played", model_name="played"))
        ports = frozenset({int(media.base_url.rpartition(":")[2])})
        fetcher = MediaFetcher(names, permits=lambda address: True, limits=FetchLimits(ports=ports), verify=CLIENT)
        async with gateway(deployments, media=lambda: fetcher, breaker=BreakerPolicy(enabled=False)) as gw:
            yield Bench(gw, player, media, _recorded(gw))


def _deployment(name: str, up: Upstream) -> Deployment:
    return UPSTREAMS[name].deployment(up, id=name, model_name=name, profile=PROFILES.get(name, ModelProfile()))


def _recorded(gw: Harness) -> list[HttpRequest]:
    """Every request that leaves the gateway from now on."""
    transport: Any = gw.pipeline.upstreams.transport
    send, sent = transport.send, []

    async def noting(request: HttpRequest, timeouts: Timeouts) -> UpstreamResponse:
        sent.append(request)
        response: UpstreamResponse = await send(request, timeouts)
        return response

    transport.send = noting
    return sent


@pytest.fixture(scope="module")
def running() -> Iterator[Served[Bench]]:
    # Small chunks: the mock cuts streams by their number, and drops the connection before any byte when there are few.
    with aimock(FIXTURES, "-c", "4") as mock, served(partial(bench, mock), lambda made: Gateway(made.gateway.edge)) as running:
        yield running
    close_sdks()


_recordings = cache(recordings)


def played(running: Served[Bench], feature: Feature) -> Outcome:
    """Has the player answer with the recording for `feature`; gives what botocore reads of it."""
    (recording,) = (one for one in _recordings() if one.name.endswith(RECORDED[feature.name]))
    head = CONVERSE.head
    running.call(lambda: running.made.player.scripts.clear())
    running.call(lambda: running.made.player.will(head, chunk(recording.body), b"0\r\n\r\n"))
    events = read_by_botocore(recording.body)
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    (usage,) = (event["metadata"]["usage"] for event in events if "metadata" in event)
    return Outcome(
        "".join(delta.get("text", "") for delta in deltas),
        (),
        "".join(delta.get("reasoningContent", {}).get("text", "") for delta in deltas),
        "stop",
        (usage["inputTokens"], usage["outputTokens"]),
    )


CELLS = [
    pytest.param(client, name, feature, stream, id=f"{client}-{name}-{feature.name}-{'stream' if stream else 'whole'}")
    for client in CLIENTS
    for name in UPSTREAMS
    for feature in FEATURES
    for stream in ((True,) if feature.cut else (False, True))
]


def judge_of(name: str, feature: Feature, stream: bool) -> Judge:
    return "recording" if name == "Converse" and stream and feature.name in RECORDED else "mock"


@pytest.mark.parametrize(("client", "name", "feature", "stream"), CELLS)
def test_cell(running: Served[Bench], client: str, name: str, feature: Feature, stream: bool) -> None:
    made = running.made
    made.sent.clear()
    recorded = judge_of(name, feature, stream) == "recording"
    wanted = played(running, feature) if recorded else feature.outcome
    asked = partial(CLIENTS[client], running.url, "played" if recorded else name, feature, stream, made.picture)
    if feature.status or feature.cut:
        _fails(asked, feature)
    else:
        assert asked() == wanted
    _was_sent(made.sent, name, feature, made.picture)
    PASSED[(client, name, feature.name, stream)] = judge_of(name, feature, stream)


def _fails(asked: Any, feature: Feature) -> None:
    with pytest.raises(ERRORS) as caught:
        asked()
    error: Any = caught.value
    if feature.status:
        assert error.status_code // 100 == feature.status // 100
        assert feature.status >= 500 or error.status_code == feature.status
    if feature.status == 429:
        assert error.response.headers["retry-after"] == "7"


def _was_sent(sent: Sequence[HttpRequest], name: str, feature: Feature, picture: str) -> None:
    (request,) = sent
    body = json.dumps(json.loads(request.body))
    if feature.tools:
        assert "get_weather" in body
    if feature.tool_result:
        assert '"rain"' in body
    if feature.schema:
        assert "answer" in body and "integer" in body.lower()
    if feature.thinking:
        assert THINKING[name] in body
    if feature.image:
        by_address = feature.image == "URL" and name not in FETCHED
        assert (picture if by_address else ENCODED) in body


def test_the_table_in_the_docs_lists_every_cell_there_is() -> None:
    """Without running one: the page must not fall behind the list of features where no mock can be started."""
    cells: dict[Cell, Judge] = {}
    for client, name, feature, stream in (cell.values for cell in CELLS):
        assert isinstance(client, str) and isinstance(name, str) and isinstance(feature, Feature) and isinstance(stream, bool)
        cells[(client, name, feature.name, stream)] = judge_of(name, feature, stream)
    assert PAGE.read_text(encoding="utf-8") == page(cells, list(CLIENTS), list(UPSTREAMS))


def test_the_table_in_the_docs_is_what_this_run_showed(request: pytest.FixtureRequest) -> None:
    if len(PASSED) < len(CELLS):
        pytest.skip(f"{len(CELLS) - len(PASSED)} cells did not pass or were not run")
    table = page(PASSED, list(CLIENTS), list(UPSTREAMS))
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line("\n" + table[table.index("## ") :])
    if os.environ.get("PLLM_WRITE_MATRIX"):
        PAGE.write_text(table, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == table, "run: PLLM_WRITE_MATRIX=1 pytest tests/e2e/test_matrix.py"
