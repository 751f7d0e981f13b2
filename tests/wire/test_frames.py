"""Frames hold what several calls answered, apart."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pllm.wire.frames import bodies, frame, frames


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 7), st.binary(max_size=20))))
def test_frames_give_back_what_was_put_in(pieces: list[tuple[int, bytes]]) -> None:
    data = b"".join(frame(branch, piece) for branch, piece in pieces)
    assert list(frames(data)) == pieces
    present = sorted({branch for branch, _ in pieces})
    assert bodies(data) == [b"".join(piece for other, piece in pieces if other == branch) for branch in present]
