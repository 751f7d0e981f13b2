"""What a call to a provider proves. Every provider's row says it of a call that is free; who probes reads it."""

from enum import IntEnum, auto

from pllm.core.errors import ErrorKind


class Evidence(IntEnum):
    """What a call tells, each what the one before does. REACHABLE: whether something is there, by TLS where that is used.
    CREDENTIAL: whether it takes ours. MODEL: whether the model answers."""

    REACHABLE = auto()
    CREDENTIAL = auto()
    MODEL = auto()

    def disproves(self, why: str) -> bool:
        """Whether a good answer shows that the failure a breaker was opened for is over. A list of models says nothing of a
        model that failed or was slow, nor of a key that has no credit left or may not use this model."""
        return self is Evidence.MODEL or why == ErrorKind.UPSTREAM_UNREACHABLE.value
