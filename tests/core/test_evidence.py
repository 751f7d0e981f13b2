"""What a good answer shows to be over."""

import pytest

from pllm.core.errors import ErrorKind
from pllm.core.evidence import Evidence


def test_what_proves_more_proves_all_that_the_ones_before_it_do() -> None:
    assert sorted(Evidence) == [Evidence.REACHABLE, Evidence.CREDENTIAL, Evidence.MODEL]


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_a_model_that_answers_disproves_any_failure_and_a_list_a_lost_connection_alone(kind: ErrorKind) -> None:
    assert Evidence.MODEL.disproves(kind.value)
    for less in (Evidence.REACHABLE, Evidence.CREDENTIAL):
        assert less.disproves(kind.value) is (kind is ErrorKind.UPSTREAM_UNREACHABLE)
