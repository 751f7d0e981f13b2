"""The names under which a model may be found in the catalogue, from the name under which it is served."""

import re
from collections.abc import Iterator

# What is added to a model's name without making it another model: the day of a snapshot (-2024-08-06, -20250219, @20250219),
# Vertex's and Gemini's versions (@default, @001, -002), short snapshots (-0613, -2411), previews (-preview-05-06), Bedrock's
# version and context length (-v1, :0, :200k). A snapshot that is another model, or has another price, has its own row.
_SUFFIX = re.compile(
    r"(?:[-@](?:20\d\d-?[01]\d-?[0-3]\d|latest|default)|[-@]\d{3}|-\d{4}|-preview(?:-[01]\d-(?:20)?\d\d)?|-v\d+|:\d+k?)$"
)
# Bedrock's inference profiles: us.anthropic.claude-..., us-gov.…, apac.…, global.…
_GEOGRAPHY = re.compile(r"^(?:us-gov|us|eu|apac|global|jp|au|ca|in|sa|me|af|uk|mx|il)\.(?=[a-z0-9-]+\.)")
# OpenRouter's variants of a model are served by other hosts, at other prices.
_VARIANT = re.compile(r":(?:free|nitro|floor|online|thinking|extended|exacto|beta)$")


def spellings(model: str) -> Iterator[tuple[str, bool]]:
    """(name, priced) from the most to the least exact; `priced`: whether that row's prices are this model's too.

    All lower case. Of an ARN, or a path such as `publishers/anthropic/models/claude-...`, the last part counts; names with
    a vendor (`openai/gpt-oss-120b`) are kept whole. A geographic prefix is given up last, a fine-tune's base is unpriced.
    """
    name = model.strip().lower()
    if name.startswith(("arn:", "models/")) or "/models/" in name:
        whole = name
        name = name.rpartition("/")[2]
        if "/models/" in whole:
            yield whole, True
    priced = True
    if name.startswith("ft:"):
        yield name, True
        name, priced = name.split(":")[1], False
    for base in (name, _GEOGRAPHY.sub("", name)):
        yield from _without_suffixes(base, priced)
        if base == _GEOGRAPHY.sub("", base):
            break


def _without_suffixes(name: str, priced: bool) -> Iterator[tuple[str, bool]]:
    yield from _dotted(name, priced)
    plain = _VARIANT.sub("", name)
    if plain != name:
        priced = False
        yield from _dotted(plain, priced)
    while (shorter := _SUFFIX.sub("", plain)) != plain and shorter:
        plain = shorter
        yield from _dotted(plain, priced)


def _dotted(name: str, priced: bool) -> Iterator[tuple[str, bool]]:
    """OpenRouter writes claude-sonnet-4.5 for claude-sonnet-4-5."""
    yield name, priced
    vendor, _, rest = name.rpartition("/")
    if "claude" in rest and "." in rest and vendor:
        yield f"{vendor}/{rest.replace('.', '-')}", priced
