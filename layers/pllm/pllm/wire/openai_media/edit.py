"""The named edits on a request of these endpoints: everything else goes upstream as the client sent it."""

from pllm.core.errors import unsupported
from pllm.wire.lane import Target
from pllm.wire.openai_media.content import Content, Edits
from pllm.wire.openai_media.endpoints import MediaEndpoint


def plan(content: Content, endpoint: MediaEndpoint, target: Target) -> tuple[Edits, tuple[str, ...]]:
    """The edits, and the names of what is lost by them. Raises a 400 naming parameter and model for a field that this
    provider or model refuses, unless it may be dropped."""
    refused = target.quirks.refused | target.profile.refused_params
    given = content.names
    unwanted = sorted(refused & given)
    if unwanted and not target.drop_unsupported:
        raise unsupported(unwanted[0], target.public_name)
    usable = endpoint.defaults - refused
    lost = [name for name in target.defaults if name not in usable and name not in given]
    added = {name: value for name, value in target.defaults.items() if name in usable and name not in given}
    model = target.model if target.quirks.model_in_body else None
    return Edits(model, refused, added), (*unwanted, *lost)
