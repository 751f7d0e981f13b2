"""The lane that a request of these endpoints takes at a provider of OpenAI's dialect."""

from pllm.core.deployment import Deployment
from pllm.wire.lane import AnswerContext, Lane, Target
from pllm.wire.openai_media import MediaRequest


def lane_of(asked: MediaRequest, target: Target) -> Lane:
    lane, dialect = asked.lane(Deployment("m/1", "m", target.provider, target.model), target, AnswerContext("m", 0, ""))
    assert dialect == "chat"
    return lane
