"""Whom the gateway's connections trust: whom the machine trusts, read once and by the first of them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.tls import server_and_authority
from tests.support.upstream import upstream, whole

from pllm.core.clock import ManualClock
from pllm.core.errors import ErrorKind, GatewayError
from pllm.providers.base import HttpRequest, Timeouts
from pllm.providers.tls import verified
from pllm.providers.transport import AiohttpTransport

SERVER, AUTHORITY = server_and_authority("localhost")


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    """What one test's machine trusts is not what another's does."""
    verified.cache_clear()
    yield
    verified.cache_clear()


async def asked() -> bytes:
    """What a TLS server with a certificate of AUTHORITY answers."""
    transport = AiohttpTransport(ManualClock())
    async with upstream(SERVER) as up:
        up.will(whole(b"hello"))
        url = up.base_url.replace("127.0.0.1", "localhost")
        try:
            answer = await transport.send(HttpRequest(url, {}, b"x"), Timeouts(5.0, 5.0, 5.0))
            return await answer.read()
        finally:
            await transport.close()


async def test_a_server_is_believed_whose_authority_the_machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = tmp_path / "authorities.pem"
    trusted.write_text(AUTHORITY)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    assert await asked() == b"hello"


async def test_a_server_is_refused_whose_authority_nobody_trusts() -> None:
    with pytest.raises(GatewayError, match=r"TLS to localhost:\d+ failed") as caught:
        await asked()
    assert caught.value.kind is ErrorKind.UPSTREAM_UNREACHABLE


def test_certificates_are_read_by_the_first_connection_that_needs_them_and_by_no_import() -> None:
    code = """
import ssl
reads = []
read = ssl.SSLContext.set_default_verify_paths
ssl.SSLContext.set_default_verify_paths = lambda context: reads.append(context) or read(context)
import pllm.bootstrap
from pllm.providers.tls import verified
print(len(reads), verified() is verified(), len(reads), verified().verify_mode.name, verified().check_hostname)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0", "True", "1", "CERT_REQUIRED", "True"]
