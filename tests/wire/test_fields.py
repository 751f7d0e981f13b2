"""Reading a request's fields: what is refused is said as it is."""

from typing import Any

import pytest

from pllm.core.errors import GatewayError
from pllm.wire.fields import count, positive


@pytest.mark.parametrize("value", [0, -1, True, "8", 1.5, None, []])
def test_a_number_that_must_be_positive_is_said_to_begin_at_one(value: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        positive(value, "top_n")
    assert (caught.value.message, caught.value.param) == ("'top_n' must be a whole number of at least 1.", "top_n")


@pytest.mark.parametrize("value", [-1, False, "8", 1.5])
def test_a_count_begins_at_zero(value: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        count(value, "n")
    assert caught.value.message == "'n' must be a whole number of at least 0."
    assert (count(0, "n"), positive(1, "n")) == (0, 1)
