import pytest

from pllm.core.media_type import sniff, sniff_document

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"\0\0\0\x1cftypavif....", "image/avif"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav"),
        (b"ID3\x04\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"fLaC\0", "audio/flac"),
        (b"OggS\0", "audio/ogg"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (b"<html>", None),
        (b"MZ\x90\0", None),
        (b"\xff\xff\xff\xff", None),
        (b"RIFF\x10\0\0\0AVI ", None),
        (b"", None),
    ],
)
def test_first_bytes_tell_what_a_file_is(data: bytes, media_type: str | None) -> None:
    assert sniff(data) == media_type


@pytest.mark.parametrize(
    ("data", "declared", "path", "media_type"),
    [
        (b"%PDF-1.7", "text/html", "/a.html", "application/pdf"),
        (b"a,b\n", "application/octet-stream", "/t.csv", "text/csv"),
        (b"# T", "text/markdown; charset=utf-8", "/readme", "text/markdown"),
        ("grüße".encode(), "", "/x", "text/plain"),
        (
            b"PK\x03\x04..",
            "application/zip",
            "/r.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        (b"PK\x03\x04..", "application/zip", "/r.zip", None),
        (b"\x7fELF\0\0", "text/plain", "/a.txt", None),
        (b"\xff\xfe\xfd", "text/plain", "/a.txt", None),
        (b"", "text/plain", "/a.txt", None),
    ],
)
def test_documents_without_magic_are_known_by_name_and_label(
    data: bytes, declared: str, path: str, media_type: str | None
) -> None:
    assert sniff_document(data, declared, path) == media_type
