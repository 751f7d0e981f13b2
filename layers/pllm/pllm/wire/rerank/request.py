"""A request to rank documents, read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pllm.core.errors import GatewayError, invalid
from pllm.core.jsontext import JsonObject
from pllm.wire.fields import boolean, kind, optional, positive, required, string

MOST_DOCUMENTS = 10_000
"""Cohere's own limit; Bedrock takes a tenth of it, and says so itself."""

_READ = frozenset({"model", "query", "documents", "top_n", "return_documents", "user"})

# A search is a query and up to a hundred documents; longer ones than five hundred tokens are cut in pieces that count each.
_PIECES_PER_UNIT = 100
_TOKENS_PER_PIECE = 500
_BYTES_PER_TOKEN = 3


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """`texts` are what is ranked, `documents` the same as their client gave them. `options`: the fields beyond these that are
    not null."""

    query: str
    texts: tuple[str, ...]
    documents: tuple[Any, ...]
    top_n: int | None = None
    return_documents: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    user: bool = False

    def document(self, place: int) -> JsonObject:
        """As it is shown in an answer."""
        given = self.documents[place]
        return given if isinstance(given, dict) else {"text": given}


def read_request(body: JsonObject) -> RerankRequest:
    """Raises GatewayError(400) naming the field."""
    query = required(body, "query", string)
    if not query:
        raise invalid("'query' is empty: there is nothing to rank by.", "query")
    listed = body.get("documents")
    if not isinstance(listed, list) or not listed:
        raise invalid("'documents' must be a list of at least one document.", "documents")
    if len(listed) > MOST_DOCUMENTS:
        raise invalid(f"'documents' has {len(listed)} entries, and at most {MOST_DOCUMENTS} are ranked at once.", "documents")
    return RerankRequest(
        query,
        tuple(_text(one, f"documents[{place}]") for place, one in enumerate(listed)),
        tuple(listed),
        optional(body, "top_n", positive),
        optional(body, "return_documents", boolean) or False,
        {name: value for name, value in body.items() if name not in _READ and value is not None},
        body.get("user") is not None,
    )


def search_units(body: JsonObject) -> int:
    """How many searches are billed for a request, as far as its bytes tell: more often too many than too few."""
    listed = body.get("documents")
    query = _bytes(body.get("query"))
    pieces = sum(_pieces(_bytes(one), query) for one in listed) if isinstance(listed, list) else 1
    return max(-(-pieces // _PIECES_PER_UNIT), 1)


def repeated_bytes(body: JsonObject) -> int:
    """The query is read with every document, and sent once."""
    listed = body.get("documents")
    return _bytes(body.get("query")) * (len(listed) - 1) if isinstance(listed, list) and listed else 0


def _pieces(document: int, query: int) -> int:
    room = max(_TOKENS_PER_PIECE - query // _BYTES_PER_TOKEN, 1)
    return max(-(-(document // _BYTES_PER_TOKEN) // room), 1)


def _bytes(value: Any) -> int:
    if isinstance(value, dict):
        value = value.get("text")
    return len(value.encode("utf-8", "surrogatepass")) if isinstance(value, str) else 0


def _text(one: Any, path: str) -> str:
    if isinstance(one, dict):
        one, path = one.get("text"), f"{path}.text"
    if not isinstance(one, str):
        raise _no_text(one, path)
    return one


def _no_text(one: Any, path: str) -> GatewayError:
    return invalid(f"'{path}' must be a string, not {kind(one)}: a document is a text or an object with a 'text'.", path)
