"""The form scanner: what it accepts it hands on byte for byte, what two readers could read differently it refuses."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.wire.openai_media.forms import parsed, written

from pllm.core.errors import GatewayError
from pllm.wire.openai_media.content import Edits
from pllm.wire.openai_media.form import MAX_PARTS, Form

TYPE = "multipart/form-data; boundary=b1"
MODEL = b'--b1\r\nContent-Disposition: form-data; name="model"\r\n\r\npublic\r\n'
FILE = b'--b1\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n\x00\xff\r\n'
END = b"--b1--\r\n"
WHOLE = FILE + MODEL + END

few = settings(deadline=None, max_examples=150)


def refused(body: bytes, content_type: str = TYPE) -> str:
    with pytest.raises(GatewayError) as caught:
        Form(body, content_type).model()
    assert caught.value.status == 400
    return caught.value.message


# --- What passes ----------------------------------------------------------------------------------------------------


def test_the_model_is_read_and_only_its_part_is_rebuilt() -> None:
    form = Form(WHOLE, TYPE)
    assert form.model() == "public"
    assert form.edited(Edits("whisper-1")) == FILE + MODEL.replace(b"public", b"whisper-1") + END


def test_a_length_that_a_client_gave_for_the_model_part_does_not_outlive_it() -> None:
    told = MODEL.replace(b'"model"\r\n', b'"model"\r\nContent-Length: 6\r\n')
    assert b"Content-Length" not in Form(FILE + told + END, TYPE).edited(Edits("whisper-1"))


def test_a_form_without_a_line_end_after_its_closing_boundary_is_whole() -> None:
    body = WHOLE.removesuffix(b"\r\n")
    assert Form(body, TYPE).edited(Edits("public")) == body


def test_an_empty_part_is_a_part() -> None:
    empty = b'--b1\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n\r\n'
    form = Form(MODEL + empty + END, TYPE)
    assert form.edited(Edits("public")) == MODEL + empty + END
    assert form.says("prompt", "")


def test_parts_are_taken_out_and_added() -> None:
    form = Form(*_written([("model", "m"), ("user", "u"), ("language", "en")], [("file", "f", b"\r\n--")]))
    edited = form.edited(Edits("up", frozenset({"user"}), {"temperature": 0.5, "prompt": "grüße"}))
    fields, uploads = parsed(edited, form.content_type)
    assert fields == [("model", "up"), ("language", "en"), ("temperature", "0.5"), ("prompt", "grüße")]
    assert uploads == [("file", "f", b"\r\n--")]


def test_a_provider_whose_address_names_the_model_gets_no_model_part() -> None:
    assert Form(WHOLE, TYPE).edited(Edits(None)) == FILE + END


def test_names_quoted_and_bare_are_the_same() -> None:
    assert Form(MODEL.replace(b'"model"', b"model") + END, TYPE).model() == "public"


@pytest.mark.parametrize(
    ("text", "flag"), [("true", True), ("True", True), ("1", True), ("false", False), ("0", False), ("", False)]
)
def test_flags_are_read_as_form_encoders_write_them(text: str, flag: bool) -> None:
    assert Form(*_written([("model", "m"), ("stream", text)])).flag("stream") is flag


@pytest.mark.parametrize(("text", "count"), [("3", 3), ("", 1), ("0", 1), ("-2", 1), ("three", 1), ("9" * 5000, 1), ("²", 1)])
def test_counts_that_are_not_are_left_to_the_provider(text: str, count: int) -> None:
    assert Form(*_written([("n", text)])).count("n") == count


def test_lengths_are_of_characters() -> None:
    form = Form(*_written([("input", "grüße")]))
    assert (form.length("input"), form.length("other")) == (5, 0)


def _written(fields: list[tuple[str, str]], uploads: list[tuple[str, str, bytes]] | None = None) -> tuple[bytes, str]:
    form = written(fields, uploads)
    return form.body, form.content_type


# --- Properties -----------------------------------------------------------------------------------------------------

_NASTY = st.sampled_from(
    [b"\r\n", b"--", b"\r\n--", b"\n", b"\r", b"--b1", b'Content-Disposition: form-data; name="model"\r\n\r\n']
)
_CONTENT = st.lists(st.binary(max_size=40) | _NASTY, max_size=12).map(b"".join)
_FIELDS = st.lists(st.tuples(st.sampled_from(["language", "prompt", "include[]", "user"]), st.text(max_size=12)), max_size=4)
_BOUNDARY = st.from_regex(r"[0-9A-Za-z'()+_,./:=?-]{1,60}", fullmatch=True)


@few
@given(content=_CONTENT, fields=_FIELDS, boundary=_BOUNDARY, quoted=st.booleans(), model=st.text(min_size=1, max_size=9))
def test_any_content_arrives_byte_for_byte(
    content: bytes, fields: list[tuple[str, str]], boundary: str, quoted: bool, model: str
) -> None:
    assume(quoted or not re.search(r"[,;\s]", boundary))
    form = written([*fields, ("model", model)], [("file", "x.bin", content)], boundary)
    content_type = f'multipart/form-data; boundary="{boundary}"' if quoted else form.content_type
    delimiter = b"--" + boundary.encode()
    assume(form.body.count(delimiter) == len(fields) + 3)
    assume(not any(delimiter in text.encode() for _, text in [*fields, ("model", model)]))
    scanned = Form(form.body, content_type)
    assert scanned.model() == model
    assert scanned.edited(Edits(model)) == form.body
    assert scanned.edited(Edits("other")) == written([*fields, ("model", "other")], [("file", "x.bin", content)], boundary).body


@few
@given(content=_CONTENT, data=st.data())
def test_every_truncation_is_refused(content: bytes, data: st.DataObject) -> None:
    form = written([("model", "m"), ("prompt", "p")], [("file", "x", content)])
    assume(b"--a1b2c3d4e5f6" not in content)
    length = data.draw(st.integers(0, len(form.body) - 1))
    assume(length != len(form.body) - 2)  # the last CRLF is optional
    assert refused(form.body[:length], form.content_type)


def test_every_truncation_of_one_form_is_refused() -> None:
    for length in range(len(WHOLE)):
        if WHOLE[:length] != WHOLE.removesuffix(b"\r\n"):
            assert refused(WHOLE[:length])


@few
@given(where=st.integers(0, len(WHOLE)), put=st.lists(_NASTY | st.just(MODEL), min_size=1, max_size=3).map(b"".join))
def test_whatever_is_accepted_another_reader_reads_the_same(where: int, put: bytes) -> None:
    raw = WHOLE[:where] + put + WHOLE[where:]
    try:
        model = Form(raw, TYPE).model()
    except GatewayError as error:
        assert error.status == 400
        return
    assert [value for name, value in parsed(raw, TYPE)[0] if name == "model"] == [model]


# --- What is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "does not begin with the boundary"),
        (b"\r\n" + WHOLE, "does not begin with the boundary"),
        (b"preamble\r\n" + WHOLE, "does not begin with the boundary"),
        (WHOLE.replace(b"\r\n", b"\n"), "where no part ends"),
        (FILE + MODEL, "truncated"),
        (FILE + MODEL + b"--b1-", "truncated"),
        (WHOLE + b"epilogue", "follows the closing boundary"),
        (WHOLE + MODEL + END, "follows the closing boundary"),
        (FILE + MODEL + b"--b1 --\r\n", "where no part ends"),
        (FILE.replace(b"--b1\r\n", b"--b1 \r\n") + MODEL + END, "where no part ends"),
        (FILE.replace(b"\xff", b"--b1") + MODEL + END, "where no part ends"),
        (FILE.replace(b"\xff", b"\n" + MODEL) + MODEL + END, "where no part ends"),
        (FILE.replace(b"\xff", b"\r\n--b12") + MODEL + END, "where no part ends"),
        (b"--b1\r\n\r\nx\r\n" + MODEL + END, "Part 1 of the form has no blank line"),
        (MODEL + b"--b1\r\n\r\n\r\n\r\nx\r\n" + END, "Part 2 of the form has a header line that is not one"),
        (b'--b1\r\nContent-Disposition: form-data; name="x"\r\n--b1--\r\n', "no blank line"),
        (END, "'model' is missing"),
        (FILE + END, "'model' is missing"),
        (FILE + MODEL + MODEL + END, "2 parts named 'model'"),
        (FILE + MODEL.replace(b"public", b"") + END, "non-empty"),
        (FILE + MODEL.replace(b"public", b"\xff\xfe") + END, "'model' is not UTF-8"),
        (FILE.replace(b'"file"', b'"model"') + END, "must be plain text, not a file"),
        (MODEL.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + END, "not encoded"),
        (b'--b1\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * (MAX_PARTS + 1) + END, "more than 256 parts"),
    ],
)
def test_a_form_that_is_not_one_is_a_400_that_says_why(body: bytes, words: str) -> None:
    assert words in refused(body)


def test_a_flag_that_is_not_one_is_named() -> None:
    with pytest.raises(GatewayError, match="'stream' must be true or false"):
        Form(*_written([("stream", "maybe")])).flag("stream")


def test_a_boundary_that_the_new_model_holds_is_refused() -> None:
    form = Form(WHOLE, TYPE)
    with pytest.raises(GatewayError, match="common word"):
        form.edited(Edits("my--b1"))
