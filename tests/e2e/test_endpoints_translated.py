"""Embeddings, rankings and pictures of providers of other dialects: the official openai SDK against the running gateway, and
behind it a mock of the providers that is not ours (Cohere, Imagen) and one that answers as Bedrock was recorded to."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import openai
import pytest
from tests.support.aimock import aimock
from tests.support.processes import LOCAL_KEY, Running, pllm_local

pytestmark = [pytest.mark.needs_node]

FIXTURES = {
    "fixtures": [
        {"match": {"inputText": "hello"}, "response": {"embedding": [0.5, -0.25]}},
        {"match": {"userMessage": "a cat", "endpoint": "image"}, "response": {"images": [{"b64Json": "AAAA"}]}},
    ]
}
CONFIG = """
model_list:
  - {{model_name: cohere, params: {{model: cohere/embed-v4.0, api_key: k, api_base: "{mock}", dialects: [chat, cohere]}}}}
  - {{model_name: ranker, params: {{model: cohere/rerank-v3.5, api_key: k, api_base: "{mock}", dialects: [chat, cohere]}}}}
  - {{model_name: painter, params: {{model: gemini/imagen-4.0-generate-001, api_key: k, api_base: "{mock}/v1beta"}}}}
  - model_name: titan
    params:
      model: bedrock/amazon.titan-embed-text-v2:0
      region: eu-west-1
      api_base: "{bedrock}"
      aws_access_key_id: AKIDEXAMPLE
      aws_secret_access_key: secret
"""


class Bedrock(BaseHTTPRequestHandler):
    """InvokeModel of Titan: a vector that tells the text's length and the dimensions."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert self.path == "/model/amazon.titan-embed-text-v2%3A0/invoke"
        assert "Credential=AKIDEXAMPLE/" in self.headers["authorization"]
        text = body["inputText"]
        answer = {"embedding": [float(len(text)), float(body.get("dimensions", 1024))], "inputTextTokenCount": len(text)}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Silence: the default writes to standard error."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("translated")
    (folder / "fixtures.json").write_text(json.dumps(FIXTURES))
    bedrock = ThreadingHTTPServer(("127.0.0.1", 0), Bedrock)
    Thread(target=bedrock.serve_forever, daemon=True).start()
    with aimock(folder / "fixtures.json") as mock:
        address = f"http://127.0.0.1:{bedrock.server_address[1]}"
        (folder / "config.yaml").write_text(CONFIG.format(mock=mock, bedrock=address))
        with pllm_local("--config", str(folder / "config.yaml"), "--workers", "2") as local:
            yield local
    bedrock.shutdown()
    bedrock.server_close()


@pytest.fixture(scope="module")
def sdk(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key=LOCAL_KEY, max_retries=0) as client:
        yield client


def test_titan_by_the_sdks_own_base64_and_by_floats(sdk: openai.OpenAI) -> None:
    texts = ["x" * n for n in range(1, 41)]
    plain = sdk.embeddings.create(model="titan", input=texts, dimensions=256)
    floats = sdk.embeddings.create(model="titan", input=texts, dimensions=256, encoding_format="float")
    assert [one.embedding for one in plain.data] == [[float(n), 256.0] for n in range(1, 41)]
    assert [one.embedding for one in floats.data] == [one.embedding for one in plain.data]
    assert [one.index for one in plain.data] == list(range(40))
    assert plain.usage.total_tokens == sum(range(1, 41))


def test_what_titan_cannot_take_is_a_400_of_the_sdk(sdk: openai.OpenAI) -> None:
    for wrong in ({"input": [1, 2, 3]}, {"input": ""}, {"input": "x", "dimensions": -1}):
        asked: Any = {"model": "titan", **wrong}
        with pytest.raises(openai.BadRequestError) as caught:
            sdk.embeddings.create(**asked)
        assert caught.value.param in wrong


def test_cohere_embeds(sdk: openai.OpenAI) -> None:
    answer = sdk.embeddings.create(model="cohere", input=["hello", "hello"], extra_body={"input_type": "search_query"})
    assert [one.embedding for one in answer.data] == [[0.5, -0.25], [0.5, -0.25]]


def test_cohere_ranks(running: Running) -> None:
    body = {"model": "ranker", "query": "capital", "documents": ["a", "b"], "top_n": 1}
    answer = httpx.post(f"{running.url}/v1/rerank", json=body, headers={"authorization": f"Bearer {LOCAL_KEY}"})
    assert answer.status_code == 200
    assert answer.json()["results"] == []  # the mock knows no query
    assert answer.headers["x-pllm-provider"] == "cohere"


def test_imagen_draws(sdk: openai.OpenAI) -> None:
    answer = sdk.images.generate(model="painter", prompt="a cat", n=1, size="1024x1024")
    assert answer.data is not None
    assert [one.b64_json for one in answer.data] == ["AAAA"]
    assert answer.created > 1_700_000_000
