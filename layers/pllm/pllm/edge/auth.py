"""Authentication: before the path, the body or anything else of a request is looked at."""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from pllm.core.errors import ErrorKind, GatewayError
from pllm.core.principal import MASTER, Principal
from pllm.core.secret import Secret
from pllm.edge.http import HttpRequest

# OpenAI's SDK, Anthropic's SDK, Azure's SDK.
_BARE_HEADERS = ("x-api-key", "api-key")


class Authenticator:
    """Knows the master key by its hash only. Every wrong key takes the same time and gets the same answer."""

    def __init__(self, master_key: Secret | None) -> None:
        self._master = _digest(master_key.reveal()) if master_key is not None else None

    def authenticate(self, request: HttpRequest) -> Principal:
        """Raises AUTHENTICATION (401) without telling a missing, malformed, contradictory or wrong credential apart in
        anything but words that the caller already knows to be true."""
        presented = credentials(request)
        if not presented:
            raise _refused("No API key was given: send it as 'Authorization: Bearer ...', 'x-api-key' or 'api-key'.")
        digests = {_digest(value) for value in presented}
        # Comparing fixed-length digests in constant time tells nothing of how much of a guess was right.
        known = self._master is not None and compare_digest(min(digests), self._master)
        if len(digests) != 1 or not known:
            raise _refused("Incorrect API key provided.")
        return MASTER


def credentials(request: HttpRequest) -> Sequence[str]:
    """Every credential the request carries, in any of the accepted headers. Never from the query string."""
    found = [value for name in _BARE_HEADERS for value in request.all(name)]
    for value in request.all("authorization"):
        scheme, _, token = value.partition(" ")
        found.append(token.strip() if scheme.lower() == "bearer" else "")
    return found


def _digest(value: str) -> bytes:
    return sha256(value.encode("utf-8", "surrogateescape")).digest()


def _refused(message: str) -> GatewayError:
    return GatewayError(ErrorKind.AUTHENTICATION, message)
