"""Images, audio and documents (translation case 21)."""

from typing import Any

import pytest
from tests.wire.gemini.judge import ask, encoded, parts, refused, user

from pllm.core.jsontext import JsonObject
from pllm.wire.gemini import upstream
from pllm.wire.neutral import (
    Audio,
    Document,
    FileId,
    Image,
    Inline,
    Url,
)


class TestMedia:
    def test_case_21_bytes_are_inline(self) -> None:
        found = parts(
            ask(user("see", Image(Inline(b"x", "image/png; a=b")), Document(Inline(b"%PDF", "application/pdf"), "a.pdf")))
        )
        assert [part["inlineData"]["mimeType"] for part in found[1:]] == ["image/png", "application/pdf"]

    @pytest.mark.parametrize(
        ("part", "wanted"),
        [
            (Image(Url("gs://b/a.png")), {"mimeType": "image/png", "fileUri": "gs://b/a.png"}),
            (Image(Url("https://x.example/p?q=1.gif")), {"mimeType": "image/jpeg", "fileUri": "https://x.example/p?q=1.gif"}),
            (Document(Url("https://x.example/a"), "b.PDF"), {"mimeType": "application/pdf", "fileUri": "https://x.example/a"}),
            (Document(Url("https://youtu.be/1")), {"mimeType": "video/mp4", "fileUri": "https://youtu.be/1"}),
            (Audio(Url("gs://b/a"), "mp3"), {"mimeType": "audio/mpeg", "fileUri": "gs://b/a"}),
            (Document(FileId("files/9")), {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/9"}),
        ],
    )
    def test_case_21_addresses_are_files_with_their_type(self, part: Any, wanted: JsonObject) -> None:
        assert parts(ask(user(part))) == [{"fileData": wanted}]

    def test_case_21_audio_formats_are_mapped_or_refused(self) -> None:
        assert parts(ask(user(Audio(Inline(b"x", ""), "wav"))))[0]["inlineData"]["mimeType"] == "audio/wav"
        assert "'xyz'" in refused(ask(user(Audio(Inline(b"x", ""), "xyz")))).message

    def test_case_21_a_file_of_another_provider_is_refused(self) -> None:
        error = refused(ask(user(Document(FileId("file-abc")))))
        assert "'file-abc'" in error.message and error.param == "messages[0]"

    @pytest.mark.parametrize(
        ("url", "itself"),
        [
            ("gs://bucket/a.png", True),
            ("https://generativelanguage.googleapis.com/v1beta/files/9", True),
            ("https://www.youtube.com/watch?v=1", True),
            ("https://example.com/a.png", False),
            ("https://youtube.com.evil.example/", False),
            ("http://youtu.be/1", False),
        ],
    )
    def test_case_21_what_gemini_resolves_itself_is_not_fetched_for_it(self, url: str, itself: bool) -> None:
        assert upstream.takes_url(url) is itself
        assert upstream.needs_bytes == {"image", "audio", "document"}

    def test_case_21_hints_are_reported(self) -> None:
        assert encoded(ask(user(Image(Inline(b"x", "image/png"), "high"))))[0].dropped == ("image_url.detail",)
