"""cli_probe.py: `pllm probe`, against real upstreams on the loopback."""

import asyncio
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.provider_thread import ProviderThread, provider_thread

from pllm.cli_probe import FAILED, OK, UNREADABLE, probe


@pytest.fixture
def door() -> Iterator[ProviderThread]:
    with provider_thread() as server:
        yield server


def probed(path: Path, paid: Sequence[str] = ()) -> tuple[int, list[str], str]:
    out, err = io.StringIO(), io.StringIO()
    code = probe(str(path), paid, 5.0, {"KEY": "sk-upstream"}, out, err)
    assert "sk-upstream" not in out.getvalue() + err.getvalue()
    return code, sorted(out.getvalue().splitlines()), err.getvalue()


def config(tmp_path: Path, *entries: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("model_list:\n" + "".join(f"  - {entry}\n" for entry in entries))
    return path


def closed_port() -> int:
    async def port() -> int:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        found: int = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return found

    return asyncio.run(port())


def test_every_provider_is_asked_and_told_of(door: ProviderThread, tmp_path: Path) -> None:
    path = config(
        tmp_path,
        f"{{model_name: here, params: {{model: compatible/a, api_base: '{door.address}', api_key: '${{KEY}}'}}}}",
        f"{{model_name: gone, params: {{model: compatible/b, api_base: 'http://127.0.0.1:{closed_port()}'}}}}",
        f"{{model_name: sonar, params: {{model: perplexity/c, api_base: '{door.address}', api_key: '${{KEY}}'}}}}",
        "{model_name: keyless, params: {model: openai/gpt}}",
    )
    code, lines, err = probed(path)
    assert (code, err) == (FAILED, "")
    gone, asked, served, here = lines
    assert gone.startswith("failed     gone@compatible/b@127.0.0.1")
    assert gone.endswith("ms: upstream_unreachable")
    assert here.startswith("ok         here@compatible/a@127.0.0.1")
    assert asked.startswith("not asked  sonar@perplexity/c@127.0.0.1")
    assert asked.endswith("only a paid call could tell (--paid perplexity)")
    assert served == "not served keyless: no credential was found; OpenAI takes one in OPENAI_API_KEY."


def test_all_well_is_exit_code_0_and_a_model_is_asked_where_that_is_paid_for(door: ProviderThread, tmp_path: Path) -> None:
    path = config(tmp_path, f"{{model_name: m, params: {{model: compatible/a, api_base: '{door.address}'}}}}")
    assert probed(path)[0] == OK
    code, (line,), _ = probed(path, ["compatible"])
    assert code == FAILED
    assert ", its model, " in line
    assert line.endswith(": upstream_error")
    assert "router.health_probes names 'compatble'" in probed(path, ["compatble"])[2]


def test_what_is_no_configuration_is_said(tmp_path: Path) -> None:
    assert probed(tmp_path / "missing.yaml")[0] == UNREADABLE
    code, lines, err = probed(config(tmp_path, "{modle_name: x}"))
    assert (code, lines) == (FAILED, [])
    assert "unknown key" in err
