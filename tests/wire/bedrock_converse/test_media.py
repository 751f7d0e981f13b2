import base64
from typing import Any

import pytest
from tests.wire.bedrock_converse.judge import CLAUDE_45, operation, sent, target, user

from pllm.core.errors import GatewayError
from pllm.wire.bedrock_converse import upstream
from pllm.wire.bedrock_converse.media import audio_block, document_block, image_block
from pllm.wire.neutral import Audio, Document, FileId, Image, Inline, Request, Source, Url

PNG = b"\x89PNG\r\n\x1a\n" + b"x"
JPEG = b"\xff\xd8\xff\xe0"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "


def formats(block: str) -> set[str]:
    content = operation("Converse").input_shape.members["messages"].member.members["content"].member
    return set(content.members[block].members["format"].enum)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Inline(PNG, "image/png"), "png"),
        (Inline(JPEG, "image/jpg"), "jpeg"),
        (Inline(b"GIF89a...", "image/gif"), "gif"),
        (Inline(WEBP, "image/webp"), "webp"),
        (Inline(PNG, "image/jpeg"), "png"),
        (Inline(WEBP, "application/octet-stream"), "webp"),
        (Inline(b"odd", "image/png; charset=binary"), "png"),
        (Url("s3://bucket/key/kiwi.JPG"), "jpeg"),
    ],
)
def test_case_21_an_image_is_named_by_its_bytes_then_by_its_type_then_by_its_key(source: Source, expected: str) -> None:
    block = image_block(Image(source), "p")["image"]
    assert block["format"] == expected
    assert expected in formats("image")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (Document(Inline(b"%PDF-1.4", "application/octet-stream")), "pdf"),
        (Document(Inline(b"a,b", "text/csv; charset=utf-8")), "csv"),
        (Document(Inline(b"x", "application/octet-stream"), "notes.MD"), "md"),
        (Document(Inline(b"PK", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")), "docx"),
        (Document(Inline(b'{"a":1}', "application/json")), "txt"),
        (Document(Inline(b"def f(): ...", "text/x-python")), "txt"),
        (Document(Url("s3://bucket/report.pdf")), "pdf"),
    ],
)
def test_case_21_documents_are_named_by_bytes_type_or_file_name(document: Document, expected: str) -> None:
    assert document_block(document, "Document 1", "p")["document"]["format"] == expected
    assert expected in formats("document")


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        (Audio(Inline(b"x", "audio/mpeg"), "mp3"), "mp3"),
        (Audio(Inline(b"x", "audio/x-wav")), "wav"),
        (Audio(Url("s3://bucket/a.flac")), "flac"),
    ],
)
def test_case_21_audio_formats_are_mapped(audio: Audio, expected: str) -> None:
    assert audio_block(audio, "p")["audio"]["format"] == expected
    assert expected in formats("audio")


def test_case_21_bytes_travel_as_base64_and_s3_addresses_as_they_are() -> None:
    (turn,) = sent(
        Request("m", (user(Image(Inline(PNG, "image/png")), Image(Url("s3://my-bucket/a.png"))),), max_tokens=9),
        target(CLAUDE_45),
    )["messages"]
    sources = [block["image"]["source"] for block in turn["content"]]
    assert sources == [{"bytes": base64.b64encode(PNG).decode()}, {"s3Location": {"uri": "s3://my-bucket/a.png"}}]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Image(Inline(b"BM....", "image/bmp")), "gif, jpeg, png, webp"),
        (Document(Inline(b"PK\x03\x04", "application/zip")), "pdf"),
        (Document(Inline(b"\xff\xfe", "text/x-odd")), "pdf"),
        (Audio(Inline(b"x", "audio/midi")), "mp3"),
        (Image(Inline(b"", "image/png")), "empty"),
        (Image(Url("https://x.example/a.png")), "fetches no URLs"),
        (Image(Url("s3://B/a.png")), "s3://bucket/key"),
        (Image(FileId("file-1")), "uploaded file"),
        (Document(FileId("file-1"), "a.pdf"), "uploaded file"),
    ],
)
def test_case_21_what_cannot_be_read_is_a_400_that_says_what_could(part: Any, reason: str) -> None:
    with pytest.raises(GatewayError, match=reason) as caught:
        upstream.encode(Request("m", (user("see", part),), max_tokens=9), target(CLAUDE_45))
    assert caught.value.status == 400
    assert caught.value.param is not None and caught.value.param.startswith("messages[0].")
