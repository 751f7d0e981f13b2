"""/api/admin/config: the configuration in use, and a check of one that is not."""

import asyncio
from collections.abc import Iterable

from fastapi import APIRouter

from pllm.admin.schemas import CheckView, ConfigText, ConfigView, ProblemView
from pllm.admin.services import Serving
from pllm.core.config import ConfigError, ConfigProblem, etag_of
from pllm.core.config.problem import dotted

router = APIRouter(prefix="/api/admin/config", tags=["config"])


@router.get("", summary="Look at the configuration in use")
async def get_config(at: Serving) -> ConfigView:
    running = at.running
    return ConfigView(
        version=running.version,
        etag=running.etag,
        source=running.source,
        models=len(running.catalogue.models),
        deployments=sum(1 for _ in running.catalogue.deployments()),
        not_served=list(running.catalogue.disabled),
        warnings=problems_of(running.warnings),
    )


@router.post("/check", summary="Check a configuration: everything that is wrong with it, and where")
async def check_config(body: ConfigText, at: Serving) -> CheckView:
    from pllm.core.config.loader import load  # YAML: most requests need none

    try:
        # A large one takes a second: other requests of this environment are not held up by it.
        loaded = await asyncio.to_thread(load, body.text, body.filename)
        warnings = (*loaded.warnings, *await at.outlook(loaded.config, body.filename))
    except ConfigError as error:
        return CheckView(valid=False, etag=None, problems=problems_of(error.problems))
    return CheckView(valid=True, etag=etag_of(loaded.config), problems=problems_of(warnings))


def problems_of(problems: Iterable[ConfigProblem]) -> list[ProblemView]:
    return [
        ProblemView(
            file=one.file,
            line=one.line,
            column=one.column,
            path=dotted(one.path),
            severity=one.severity,
            message=one.message,
            suggestion=one.suggestion,
        )
        for one in problems
    ]
