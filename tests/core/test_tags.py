"""Which deployments a request with tags is for, and which one without."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pllm.core.breaker import Admission
from pllm.core.config.schema import Strategy
from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.health import DeploymentHealth
from pllm.core.plan import Plan, RoutingPolicy, Surroundings
from pllm.core.rota import Rota
from pllm.core.routing import Catalogue
from pllm.core.tags import NO_TAGS, Tags, chosen, no_match


def one(name: str, *tags: str) -> Deployment:
    return Deployment(name, name.split("/")[0], "openai", "x", tags=tags)


EU, US, BARE = one("m/eu", "eu", "default"), one("m/us", "us", "fast"), one("m/bare")


def test_a_request_goes_where_one_of_its_tags_is() -> None:
    assert chosen([EU, US, BARE], Tags(("us",))) == {"m/us"}
    assert chosen([EU, US, BARE], Tags(("eu", "fast"))) == {"m/eu", "m/us"}
    assert chosen([EU, US, BARE], Tags(("nowhere",))) == frozenset()


def test_one_without_tags_goes_to_the_untagged_and_to_the_default() -> None:
    assert chosen([EU, US, BARE], NO_TAGS) == {"m/eu", "m/bare"}


def test_a_model_whose_deployments_all_have_tags_and_none_the_default_is_there_for_everybody() -> None:
    assert chosen([US, one("m/jp", "jp"), EU], NO_TAGS) == {"m/eu"}
    assert chosen([US, one("m/jp", "jp")], NO_TAGS) == {"m/us", "m/jp"}
    assert chosen([US, one("n/bare")], NO_TAGS) == {"m/us", "n/bare"}


def test_a_keys_tags_choose_where_they_are_known_and_are_labels_elsewhere() -> None:
    assert chosen([EU, US, BARE], Tags(own=("us", "marketing"))) == {"m/us"}
    assert chosen([EU, US, BARE], Tags(own=("marketing",))) == {"m/eu", "m/bare"}
    assert chosen([EU, US, BARE], Tags(("eu",), own=("us",))) == {"m/eu"}


def test_the_refusal_names_what_was_asked_for_and_what_there_is() -> None:
    error = no_match("m", [EU, US], Tags(("gold", "silver")))
    assert error.message == ("No deployment of 'm' is tagged 'gold' or 'silver'. Its tags are: 'eu', 'default', 'us', 'fast'.")
    assert (error.status, error.code) == (400, "no_matching_tag")
    assert no_match("m", [BARE], Tags(("gold",))).message.endswith("It has no tags.")


# --- In a plan ------------------------------------------------------------------------------------------------------

_TAG = st.sampled_from(["a", "b", "c", "default"])
_DEPLOYMENTS = st.lists(st.tuples(st.sampled_from("mno"), st.lists(_TAG, max_size=3, unique=True)), min_size=1, max_size=8).map(
    lambda found: [one(f"{model}/{number}", *tags) for number, (model, tags) in enumerate(found)]
)


def catalogue(deployments: list[Deployment]) -> Catalogue:
    models: dict[str, tuple[Deployment, ...]] = {}
    for deployment in deployments:
        models[deployment.model_name] = (*models.get(deployment.model_name, ()), deployment)
    return Catalogue(models, {"all": tuple(models)})


def walked(plan: Plan, error: ErrorKind) -> list[Deployment]:
    tried = []
    while (step := plan.next()) is not None:
        tried.append(step.deployment)
        plan.failed(step, GatewayError(error, "x"))
    return tried


@given(
    _DEPLOYMENTS,
    st.lists(_TAG, min_size=1, max_size=2).map(tuple),
    st.sampled_from(list(Strategy)),
    st.sampled_from(["m", "all"]),
    st.sampled_from([ErrorKind.UPSTREAM_ERROR, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_POLICY]),
    st.integers(0, 2**16),
)
def test_a_tagged_request_never_reaches_a_deployment_without_its_tag(
    deployments: list[Deployment], asked: tuple[str, ...], strategy: Strategy, name: str, error: ErrorKind, seed: int
) -> None:
    known = catalogue([*deployments, one("m/first", "a"), one("n/first")])
    elsewhere = {"m": ("n", "o"), "n": ("o",)}
    policy = RoutingPolicy(strategy, 2, elsewhere, elsewhere, elsewhere)
    random = Random(seed)
    plan = Plan(known, policy, name, Surroundings(random, Rota(random), tags=Tags(asked)))
    right = {deployment.id for deployment in plan.possible}
    tried = walked(plan, error)
    assert all(set(deployment.tags) & set(asked) for deployment in tried)
    assert {deployment.id for deployment in tried} <= right
    behind = [deployment for deployment in known.models["m"] if set(deployment.tags) & set(asked)]
    assert tried or not behind
    if not tried and not plan.possible:
        assert plan.outcome().code == "no_matching_tag"


def test_without_tags_in_the_configuration_a_requests_tags_are_not_looked_at() -> None:
    random = Random(1)
    known = catalogue([BARE])
    assert known.tagged is False
    plan = Plan(known, RoutingPolicy(retries=0), "m", Surroundings(random, Rota(random), tags=Tags(("eu",))))
    assert walked(plan, ErrorKind.UPSTREAM_ERROR) == [BARE]


def test_where_the_tagged_ones_are_open_the_client_hears_of_that_and_no_other_is_taken() -> None:
    random = Random(1)
    down = {"m/us": DeploymentHealth(Admission.NONE, opens_in_ms=7_000, why="upstream_error")}
    world = Surroundings(random, Rota(random), lambda ids: down, tags=Tags(("us",)))
    plan = Plan(catalogue([EU, US, BARE]), RoutingPolicy(), "m", world)
    assert plan.next() is None
    assert (plan.outcome().status, plan.outcome().retry_after_s) == (503, 7)


def test_a_fallback_with_the_tag_is_taken_where_the_model_has_none_with_it() -> None:
    random = Random(1)
    world = Surroundings(random, Rota(random), tags=Tags(("us",)))
    plan = Plan(catalogue([EU, one("n/us", "us")]), RoutingPolicy(retries=0, fallbacks={"m": ("n",)}), "m", world)
    assert [deployment.id for deployment in walked(plan, ErrorKind.UPSTREAM_ERROR)] == ["n/us"]
