"""The tags that a request names, in a header or in its body's metadata. Only read where a deployment has any."""

from pllm.core.errors import invalid
from pllm.core.jsontext import JsonObject
from pllm.core.tags import Tags
from pllm.edge.exchange import Exchange

_HEADERS = ("x-pllm-tags", "x-litellm-tags")


def header_tags(exchange: Exchange) -> Tags:
    """Of the headers (separated by commas), and of the caller's key."""
    values = (value for name in _HEADERS for value in exchange.request.all(name))
    asked = (tag.strip() for value in values for tag in value.split(","))
    return Tags(tuple(dict.fromkeys(tag for tag in asked if tag)), exchange.principal.tags)


def tags_and_body(exchange: Exchange, body: JsonObject) -> tuple[Tags, JsonObject]:
    """The headers' and the body's `metadata.tags`, and the body without those: no provider takes a list there. A text in
    their place is the client's own metadata. Raises a 400 for a list of anything but texts."""
    found = header_tags(exchange)
    metadata = body.get("metadata")
    listed = metadata.get("tags") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(listed, list):
        return found, body
    if not all(isinstance(tag, str) and tag.strip() for tag in listed):
        raise invalid("'metadata.tags' must be a list of non-empty strings.", "metadata.tags")
    asked = tuple(dict.fromkeys((*found.asked, *(tag.strip() for tag in listed))))
    rest = {name: value for name, value in metadata.items() if name != "tags"}
    body = {name: value for name, value in body.items() if name != "metadata"}
    return Tags(asked, found.own), {**body, "metadata": rest} if rest else body
