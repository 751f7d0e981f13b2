"""Content-Type and Content-Disposition, as clients write them and as attackers would."""

import pytest

from pllm.core.errors import GatewayError
from pllm.wire.openai_media.form_headers import boundary_of, part_name


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ("Multipart/Form-Data;boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b:c=d"', b"a b:c=d"),
        (
            "multipart/form-data; charset=utf-8; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
        ("multipart/form-data; boundary=abc; charset=UTF-8", b"abc"),
        ("multipart/form-data; boundary==_a/b:c?=", b"=_a/b:c?="),
        ("multipart/form-data; boundary=abc;", b"abc"),
        ("multipart/form-data; boundary=" + "x" * 70, b"x" * 70),
    ],
)
def test_a_boundary_is_read_quoted_or_not(header: str, boundary: bytes) -> None:
    assert boundary_of(header) == boundary


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("application/json", "not application/json"),
        ("", "of unknown type"),
        ("multipart/mixed; boundary=abc", "not multipart/mixed"),
        ("multipart/form-data", "has no boundary"),
        ("multipart/form-data; boundary=", "cannot be read"),
        ('multipart/form-data; boundary=""', "is not one"),
        ('multipart/form-data; boundary="abc', "cannot be read"),
        ('multipart/form-data; boundary="abc "', "is not one"),
        ("multipart/form-data; boundary=a b", "cannot be read"),
        ("multipart/form-data; boundary=a@b", "is not one"),
        ('multipart/form-data; boundary="a\\bc"', "is not one"),
        ("multipart/form-data; boundary=grüße", "is not one"),
        ("multipart/form-data; boundary=" + "x" * 71, "is not one"),
        ("multipart/form-data; boundary=a; boundary=b", "'boundary' twice"),
        ("multipart/form-data; boundary=a, multipart/form-data; boundary=b", "cannot be read"),
    ],
)
def test_a_header_without_one_clear_boundary_is_a_400(header: str, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        boundary_of(header)
    assert caught.value.status == 400
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("head", "name", "is_file", "as_it_is"),
    [
        (b'Content-Disposition: form-data; name="model"', "model", False, True),
        (b"content-disposition:form-data;name=model", "model", False, True),
        (b'Content-Disposition: form-data; filename="C:\\\\x.wav"; name="file"', "file", True, True),
        (b'Content-Disposition: form-data; name="file"; filename="a;b\\"c.wav"', "file", True, True),
        (b"Content-Disposition: form-data; name=\"f\"; filename*=utf-8''%c3%bc.wav", "f", True, True),
        ('Content-Disposition: form-data; name="größe"'.encode(), "größe", False, True),
        (b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="a"', "a", False, True),
        (b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: 8BIT', "a", False, True),
        (b'Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64', "a", False, False),
    ],
)
def test_a_part_is_named_by_its_disposition(head: bytes, name: str, is_file: bool, as_it_is: bool) -> None:
    assert part_name(head, 1) == (name, is_file, as_it_is)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"Content-Type: text/plain", "has no Content-Disposition"),
        (b"Content-Disposition: attachment; name=a", "must be form-data"),
        (b"Content-Disposition: form-data", "must name the field"),
        (b"Content-Disposition: form-data; filename=a", "must name the field"),
        (b"Content-Disposition: form-data; name*=utf-8''model", "must name the field"),
        (b"Content-Disposition: form-data; name=a; name*=utf-8''model", "must name the field"),
        (b"Content-Disposition: form-data; name=a; name=model", "'name' twice"),
        (b'Content-Disposition: form-data; name="mo\\del"', "backslash"),
        (b'Content-Disposition: form-data; name="model', "cannot be read"),
        (b'Content-Disposition: form-data; name="a" junk', "cannot be read"),
        (b"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=model", "twice"),
        (b"Content-Disposition: form-data; name=a\r\n folded", "header line"),
        (b"Content-Disposition : form-data; name=a", "header line"),
        (b"Content-Disposition: form-data; name=a\nX: y", "header line"),
        (b"Content-Disposition: form-data; name=a\x00", "header line"),
        (b"", "header line"),
    ],
)
def test_a_part_that_two_readers_could_name_differently_is_a_400(head: bytes, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        part_name(head, 3)
    assert caught.value.status == 400
    assert words in caught.value.message
    assert "3" in caught.value.message
