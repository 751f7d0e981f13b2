"""Tags: which of the deployments behind a name a request is for. They choose; what a key may use is said by its models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pllm.core.deployment import Deployment
from pllm.core.errors import ErrorKind, GatewayError

DEFAULT = "default"
"""The tag of deployments that serve requests without tags as well as those with their other tags."""


@dataclass(frozen=True, slots=True)
class Tags:
    """A request's. asked: those that it names: only deployments with one of them will do. own: its key's and its team's: where
    a name has deployments with one of them they are chosen, elsewhere they are labels."""

    asked: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


NO_TAGS = Tags()


def chosen(deployments: Sequence[Deployment], tags: Tags) -> frozenset[str]:
    """The ids of those that may serve a request with these tags."""
    if tags.asked:
        return _with_one_of(deployments, tags.asked)
    return _with_one_of(deployments, tags.own) or _for_anybody(deployments)


def no_match(name: str, deployments: Iterable[Deployment], tags: Tags) -> GatewayError:
    """The 400 for tags that nothing behind a name has."""
    known = dict.fromkeys(tag for one in deployments for tag in one.tags)
    asked = " or ".join(map(repr, tags.asked))
    there = f"Its tags are: {', '.join(map(repr, known))}." if known else "It has no tags."
    message = f"No deployment of {name!r} is tagged {asked}. {there}"
    return GatewayError(ErrorKind.INVALID_REQUEST, message, param="tags", code="no_matching_tag")


def _with_one_of(deployments: Iterable[Deployment], tags: Sequence[str]) -> frozenset[str]:
    return frozenset(one.id for one in deployments if any(tag in tags for tag in one.tags))


def _for_anybody(deployments: Sequence[Deployment]) -> frozenset[str]:
    """Those without tags and those that are the default. A model that has none of either is there for everybody: then its
    tags only tell its deployments apart."""
    open_ones = [one for one in deployments if not one.tags or DEFAULT in one.tags]
    models = {one.model_name for one in open_ones}
    return frozenset(one.id for one in (*open_ones, *(one for one in deployments if one.model_name not in models)))
