"""Who is asking, once that is proven."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Role = Literal["admin", "viewer", "user"]


@dataclass(frozen=True, slots=True)
class Principal:
    """id: for logs and usage rows, never the credential. models: globs of the model names it may use."""

    id: str
    role: Role = "user"
    team: str | None = None
    models: tuple[str, ...] = ("*",)

    def may_use(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)


MASTER = Principal("master", "admin")
