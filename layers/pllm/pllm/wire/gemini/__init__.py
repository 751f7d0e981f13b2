"""Google Gemini, as Vertex AI and the Gemini API speak it (generateContent, streamGenerateContent)."""

from pllm.wire.gemini.wire import GeminiWire

upstream = GeminiWire()

__all__ = ["GeminiWire", "upstream"]
