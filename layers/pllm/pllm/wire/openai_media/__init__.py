"""OpenAI's endpoints beside the text ones: embeddings, images, audio and moderations, always in the same-dialect lane.

They have no neutral form. A request is edited (JSON) or spliced (multipart) and goes to a provider that speaks OpenAI's
dialect; the answer comes back as it was given, binary or not.
"""

from pllm.wire.openai_media.endpoints import ENDPOINTS
from pllm.wire.openai_media.request import MediaRequest, form_request, json_request

__all__ = ["ENDPOINTS", "MediaRequest", "form_request", "json_request"]
