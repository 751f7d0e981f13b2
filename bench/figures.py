"""Figures as they are published: percentiles of everything, and how far the rounds lie apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).with_name("RESULTS.md")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds' figures, and the lowest and highest of them."""

    middle: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        return Spread(median(values), min(values), max(values))

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        middle, low, high = (f"{value * scale:.{digits}f}" for value in (self.middle, self.low, self.high))
        return f"{middle} ({low} to {high})"


def added(values: Sequence[Sequence[float]], base: Sequence[Sequence[float]], share: float) -> Spread:
    """A percentile's growth over `base`, round by round: the two halves of a round saw the same machine."""
    return Spread.of([percentile(mine, share) - percentile(theirs, share) for mine, theirs in zip(values, base, strict=True)])


def pooled(values: Sequence[Sequence[float]], share: float) -> float:
    """A percentile of all rounds together: the far ones need every sample there is."""
    return percentile([value for of_round in values for value in of_round], share)


@dataclass(frozen=True, slots=True)
class Table:
    """A section of the report."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", _row(self.header), _row(["---"] * len(self.header)), *map(_row, self.rows)]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def kept(title: str) -> list[str]:
    """The report's section of this title as it stands, for those who write the rest anew; nothing where there is none."""
    _, found, text = RESULTS.read_text().partition(f"## {title}\n")
    section = text.partition("\n## ")[0]
    return [f"## {title}\n{section}"] if found else []
