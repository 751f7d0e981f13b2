"""Forms as clients write them (httpx's encoder) and as servers read them (werkzeug's parser): neither is ours."""

import io
from dataclasses import dataclass

import httpx2
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

Field = tuple[str, str]
Upload = tuple[str, str, bytes]


@dataclass(frozen=True)
class Written:
    body: bytes
    content_type: str


def written(fields: list[Field], uploads: list[Upload] | None = None, boundary: str = "a1b2c3d4e5f6") -> Written:
    """What httpx sends for these fields and files (name, file name, content)."""
    listed: dict[str, list[str]] = {}
    for name, value in fields:
        listed.setdefault(name, []).append(value)
    files = [(name, (filename, content)) for name, filename, content in uploads or []]
    header = f"multipart/form-data; boundary={boundary}"
    request = httpx2.Request(
        "POST", "http://gateway/", data=listed, files=files or [("_", (None, b""))], headers={"content-type": header}
    )
    return Written(request.read(), request.headers["content-type"])


def parsed(body: bytes, content_type: str) -> tuple[list[Field], list[Upload]]:
    """(fields, files) as werkzeug reads them."""
    kind, options = parse_options_header(content_type)
    _, fields, files = FormDataParser(silent=False).parse(io.BytesIO(body), kind, len(body), options)
    uploads = [(name, part.filename or "", part.read()) for name, part in files.items(multi=True)]
    for part in files.values():
        part.close()
    return list(fields.items(multi=True)), uploads
