"""Gemini's JSON is camelCase, but Google also takes snake_case, and so do its users."""


def camel(name: str) -> str:
    """ "google_search" as "googleSearch"; camelCase stays as it is."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
