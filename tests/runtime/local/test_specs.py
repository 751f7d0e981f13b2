from typing import Any

import pytest

from lambda_stream.local import FunctionSpec, LocalLambda, Route


@pytest.mark.parametrize(
    ("prefix", "path", "accepted"),
    [
        ("/", "/", True),
        ("/", "/anything", True),
        ("/ui", "/ui", True),
        ("/ui", "/ui/", True),
        ("/ui", "/ui/app.js", True),
        ("/ui", "/uitest", False),
        ("/v1/admin/", "/v1/admin", True),
        ("/v1/admin", "/v1/chat", False),
    ],
)
def test_a_prefix_matches_whole_segments(prefix: str, path: str, accepted: bool) -> None:
    assert Route("f", prefix).accepts("GET", path) is accepted


def test_a_predicate_replaces_the_prefix() -> None:
    route = Route("f", matches=lambda method, path: method == "DELETE" and path.endswith("/keys"))
    assert [route.accepts("DELETE", "/v1/keys"), route.accepts("GET", "/v1/keys")] == [True, False]


@pytest.mark.parametrize("fields", [{"name": ""}, {"handler": "nodot"}, {"timeout_s": 0}])
def test_a_function_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"function "):
        FunctionSpec(**{"name": "f", "handler": "m.app"} | fields)


def test_a_local_lambda_that_cannot_be_is_refused() -> None:
    function = FunctionSpec("f", "m.app")
    with pytest.raises(ValueError, match=r"unknown functions \['g'\]"):
        LocalLambda([function], [Route("g")])
    with pytest.raises(ValueError, match="two functions share a name"):
        LocalLambda([function, function], [Route("f")])
    with pytest.raises(ValueError, match="at least one environment"):
        LocalLambda([function], [Route("f")], max_environments=0)
