"""Who is asking, once that is proven."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Literal
from urllib.parse import quote

from pllm.core.limits import GateLimits

Role = Literal["admin", "viewer", "user"]
"""admin: everything. user: the data plane. viewer: may look at the control plane and the list of models, and call nothing."""

SCOPES = (
    "audio",
    "chat",
    "completions",
    "embeddings",
    "images",
    "messages",
    "models",
    "moderations",
    "rerank",
    "responses",
    "usage",
)
"""What a key can be confined to: the first element of a path after /v1."""

_LONGEST_ID = 200
_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Principal:
    """id: for logs, limits and usage rows, never the credential. name: what people call it, and the configuration's limits
    go by. models, team_models: globs of the model names that it and its team may use, both of which hold. limits: what its
    own scope and its team's allow. tags: its own and its team's."""

    id: str
    role: Role = "user"
    team: str | None = None
    models: tuple[str, ...] = ("*",)
    name: str = ""
    scopes: tuple[str, ...] = ("*",)
    team_models: tuple[str, ...] = ("*",)
    limits: tuple[GateLimits, ...] = ()
    tags: tuple[str, ...] = ()

    def may_use(self, model: str) -> bool:
        return _matches(model, self.models) and _matches(model, self.team_models)

    def may_call(self, method: str, path: str) -> bool:
        """Whether a canonical path of the data plane (`/v1/...`) is within its role and scopes. Looking at the list of
        models is within every scope: SDKs do it first."""
        if self.role == "viewer" and method not in _READS:
            return False
        scope = path.removeprefix("/v1/").partition("/")[0]
        return "*" in self.scopes or scope in self.scopes or scope == "models"


MASTER = Principal("master", "admin", name="master")


def outside_id(*parts: str) -> str:
    """An id for someone whom others have named (a role, a token's subject): different names stay different, and nothing in
    them can be taken for a separator of logs and shared state."""
    text = "/".join(quote(part, safe=":/@._=+,-", errors="surrogatepass") for part in parts)
    return text if len(text) <= _LONGEST_ID else f"{text[: _LONGEST_ID - 65]}~{sha256(text.encode()).hexdigest()}"


def _matches(model: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in patterns)
