"""AWS callers: which entry of the configuration a role's ARN belongs to."""

import re
from collections.abc import Sequence

from pllm.core.config.policies import IamPrincipal
from pllm.core.principal import outside_id

_ASSUMED = re.compile(r"arn:(?P<partition>[a-z-]+):sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/[^/]+")
_ROLE_PATH = re.compile(r"arn:[^/]*:role/.*/")


def role_arn(caller_arn: str) -> str:
    """The ARN by which a caller is known: an assumed role's is the role's own (AWS leaves out its path), whatever the
    session is called; a user's stays as it is."""
    found = _ASSUMED.fullmatch(caller_arn)
    if found is None:
        return caller_arn
    return f"arn:{found['partition']}:iam::{found['account']}:role/{found['role']}"


def entry_for(arn: str, entries: Sequence[IamPrincipal]) -> IamPrincipal | None:
    """The first entry whose pattern the whole ARN matches. `*` stands for any characters; nothing else is special."""
    return next((entry for entry in entries if _pattern(entry.arn).fullmatch(arn)), None)


def principal_id(arn: str, entry: IamPrincipal) -> str:
    """Names one caller in logs, limits and usage: each has limits of its own, though many may share an entry."""
    return outside_id("iam", entry.name, ":".join(arn.split(":")[4:]))


def never_matching(entries: Sequence[IamPrincipal]) -> list[str]:
    """What is wrong with patterns that no caller can match: a role's path is not in what AWS says of a caller."""
    return [
        f"auth.iam: {entry.arn!r} has a path between 'role/' and the role's name; AWS leaves it out of a caller's ARN, "
        "so this pattern matches nobody"
        for entry in entries
        if _ROLE_PATH.match(entry.arn)
    ]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")))
