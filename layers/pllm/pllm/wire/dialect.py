"""The names of the dialects. Apart from the neutral form, since every row of the registry says what its provider speaks."""

from typing import Literal

ClientDialect = Literal["chat", "messages", "responses"]
UpstreamDialect = Literal["chat", "messages", "responses", "converse", "gemini", "cohere"]
