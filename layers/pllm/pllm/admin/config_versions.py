"""/api/admin/config/versions: configurations published, compared, and gone back from."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field, model_validator

from pllm.admin.config import problems_of
from pllm.admin.schemas import Asked, Count, ProblemView
from pllm.admin.services import ConfigDesk, Serving, Who, no_table, services
from pllm.core.config import Config, ConfigError
from pllm.core.config.plain import to_plain
from pllm.core.config.problem import Path
from pllm.core.config.validate import is_secret_path
from pllm.core.errors import ErrorKind, GatewayError, invalid
from pllm.state.config_history import (
    HIDDEN,
    UnknownVersionError,
    VersionConflictError,
    VersionNote,
    check,
    difference,
)

router = APIRouter(prefix="/api/admin/config", tags=["config"])

_MOST_PROBLEMS = 50

Expected = Annotated[Count, Field(ge=0, description="The version that you believe to be in use. Another one is a 409.")]


def desk(request: Request) -> ConfigDesk:
    """Raises UNAVAILABLE where there is no table."""
    found = services(request).configs
    if found is None:
        raise no_table("versions of the configuration")
    return found


Desk = Annotated[ConfigDesk, Depends(desk)]

# --- What is asked and answered -------------------------------------------------------------------------------------


class Publish(Asked):
    """A configuration that is to be used by every environment within five seconds."""

    text: Annotated[str, Field(description="YAML or JSON. Credentials are `${NAME}`: a literal one is refused.")]
    expected: Expected
    note: Annotated[str, Field(max_length=500, description="Why, for whoever looks later.")] = ""


class RollBack(Asked):
    """A version that is to be used again."""

    version: Annotated[Count, Field(ge=0, description="0 is the configuration the functions were deployed with.")]
    expected: Expected


class Compare(Asked):
    """What is compared: a text, or a version; with a version, or with the one in use."""

    text: str | None = None
    version: Annotated[Count | None, Field(ge=0)] = None
    against: Annotated[Count | None, Field(ge=0, description="Default: the version in use.")] = None

    @model_validator(mode="after")
    def _one(self) -> "Compare":
        if (self.text is None) == (self.version is None):
            raise ValueError("give either 'text' or 'version'.")
        return self


class VersionView(BaseModel):
    """`size` is in characters."""

    version: int
    etag: str
    by: str
    at: datetime
    note: str
    size: int


class VersionPage(BaseModel):
    """The newest first. `current` is the version in use, 0 for the one the functions were deployed with."""

    object: Literal["list"] = "list"
    current: int
    data: list[VersionView]


class VersionText(BaseModel):
    version: int
    text: str


class PublishedView(BaseModel):
    version: int
    etag: str
    warnings: list[ProblemView]


class CurrentView(BaseModel):
    current: int
    etag: str


class DiffView(BaseModel):
    """`diff` is unified, empty where there is no difference."""

    against: int
    diff: str


# --- Endpoints ------------------------------------------------------------------------------------------------------


@router.get("/versions", summary="List versions, the newest first")
async def list_versions(at: Desk) -> VersionPage:
    pointer, notes = await asyncio.gather(at.history.pointer(), at.history.versions())
    return VersionPage(current=pointer.version, data=[_view(note) for note in notes])


@router.get("/versions/{version}", summary="Look at a version as it was written; 0, the deployed one, as JSON")
async def get_version(version: int, at: Desk) -> VersionText:
    if version == 0:
        return VersionText(version=0, text=_meaning(at.deployed.config) + "\n")
    try:
        return VersionText(version=version, text=await at.history.text(version))
    except UnknownVersionError as error:
        raise _absent(error) from None


@router.post("/versions", status_code=201, summary="Publish a configuration")
async def publish(body: Publish, at: Desk, who: Who, serving: Serving) -> PublishedView:
    try:
        loaded = await asyncio.to_thread(check, body.text)
        lacking = await serving.outlook(loaded.config, "config.yaml")
        published = await at.history.publish(body.text, expected=body.expected, by=who.id, note=body.note)
    except ConfigError as error:
        raise _refused(error) from None
    except VersionConflictError as error:
        raise _conflict(error) from None
    return PublishedView(version=published.version, etag=published.etag, warnings=problems_of((*published.warnings, *lacking)))


@router.post("/rollback", summary="Go back to a version")
async def roll_back(body: RollBack, at: Desk, who: Who) -> CurrentView:
    try:
        pointer = await at.history.roll_back(body.version, expected=body.expected, by=who.id)
    except ConfigError as error:
        raise _refused(error) from None
    except UnknownVersionError as error:
        raise _absent(error) from None
    except VersionConflictError as error:
        raise _conflict(error) from None
    return CurrentView(current=pointer.version, etag=pointer.etag)


@router.post("/diff", summary="Compare a text or a version with another version")
async def diff(body: Compare, at: Desk) -> DiffView:
    against = (await at.history.pointer()).version if body.against is None else body.against
    try:
        before = None if against == 0 else await at.history.text(against)
        after = body.text if body.version is None else None if body.version == 0 else await at.history.text(body.version)
        names = (_name(against), _name(body.version))
        return DiffView(against=against, diff=await asyncio.to_thread(_compared, before, after, names, at.deployed.config))
    except UnknownVersionError as error:
        raise _absent(error) from None
    except ConfigError as error:
        raise _refused(error) from None


# --- How ------------------------------------------------------------------------------------------------------------


def _compared(before: str | None, after: str | None, names: tuple[str, str], deployed: Config) -> str:
    """None is the deployed configuration. It has no text any more: then both are compared as what they mean."""
    if before is not None and after is not None:
        return difference(before, after, names)
    meant = [_meaning(deployed if text is None else check(text).config) for text in (before, after)]
    return difference(meant[0], meant[1], names)


def _meaning(config: Config) -> str:
    return json.dumps(_masked(to_plain(config), ()), indent=2, ensure_ascii=False)


def _masked(value: Any, path: Path) -> Any:
    """As it could be written. A packaged configuration may hold credentials, with a warning; nobody is shown them."""
    if isinstance(value, dict):
        return {key: _masked(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, (*path, number)) for number, item in enumerate(value)]
    if isinstance(value, int) and path[-1:] == ("amount",) and ("budgets" in path or "budget" in path):
        return value / 1_000_000  # as it is written: USD
    return HIDDEN if isinstance(value, str) and "${" not in value and is_secret_path(path) else value


def _name(version: int | None) -> str:
    return "proposed" if version is None else f"version {version}" if version else "deployed"


def _view(note: VersionNote) -> VersionView:
    at = datetime.fromtimestamp(note.at_ms / 1000, UTC)
    return VersionView(version=note.version, etag=note.etag, by=note.by, at=at, note=note.note, size=note.size)


def _refused(error: ConfigError) -> GatewayError:
    shown = [str(problem) for problem in error.problems[:_MOST_PROBLEMS]]
    more = len(error.problems) - len(shown)
    return invalid("\n".join([*shown, *([f"... and {more} more"] if more else [])]), "text", "invalid_configuration")


def _conflict(error: VersionConflictError) -> GatewayError:
    return GatewayError(ErrorKind.CONFLICT, f"{str(error)[0].upper()}{str(error)[1:]}.", param="expected")


def _absent(error: UnknownVersionError) -> GatewayError:
    return GatewayError(ErrorKind.NOT_FOUND, f"{str(error)[0].upper()}{str(error)[1:]}.")
