"""The judge of a drill: what was charged, to whom, and what is left, from the writes of the gates alone."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.watched_table import Done, Image


@dataclass
class Worker:
    """A gateway in its place of the fleet. `left`: how often `point` is to be passed before it is killed there."""

    place: int
    pidfd: int
    url: str
    point: str
    left: int
    dead: bool = False


@dataclass
class Request:
    """One request, as its client and the upstream saw it. `cost`: micro-dollars, its own. `followed`: its worker has answered
    another one on the same connection, so it is settled."""

    cost: int
    worker: Worker
    begun_s: float
    before: "Request | None"
    ended: bool = False
    refused: str = ""
    answered: bool = False
    usage_told: bool = False
    followed: bool = False


@dataclass
class Report:
    """What came of a drill. Micro-dollars and counts; `problems` is empty where every promise was kept."""

    killed: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    cut_and_paid: int = 0
    unpaid: int = 0
    most_parallel: int = 0
    most_held: int = 0
    budget: int = 0
    spent: int = 0
    generations: int = 0
    gate_writes: int = 0
    took_s: float = 0.0
    problems: list[str] = field(default_factory=list)


class Judge:
    """Sees every write that a gate took, with what the gate held before and after."""

    def __init__(self) -> None:
        self.charges: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.problems: list[str] = []
        self.writes = self.most_held = 0

    def see(self, done: Done) -> None:
        gate, now = done.write.gate, done.after
        self.writes += 1
        self.most_held = max(self.most_held, now.get("h", 0))
        charged = spent(now) - spent(done.before)
        if charged:
            self.charges[gate][charged] += 1
        if now["b"] < 0:
            self._blame(f"{gate} was overspent by {-now['b']}")
        if now["k"] > now.get("kl", now["k"]):
            self._blame(f"{gate} let {now['k']} calls in")
        if (now["h"], now["k"]) != (now["hc"] + now["hp"], now["kc"] + now["kp"]) or min(now.values()) < 0:
            self._blame(f"{gate} does not add up: {dict(now)}")

    def _blame(self, problem: str) -> None:
        self.problems.append(problem)


def spent(gate: Image) -> int:
    """Micro-dollars that are gone for good; what is held is not."""
    return gate["bl"] - gate["b"] - gate["h"] if gate else 0


def judged(judge: Judge, requests: Mapping[int, Request], gates: Mapping[str, Image], budget: int) -> Report:
    """`gates`: what the table holds in the end."""
    unanswered = [one for one in requests.values() if not one.answered and not one.refused]
    paid = {gate: set(charges) for gate, charges in judge.charges.items()}
    somewhere = set[int]().union(*paid.values())
    report = Report(
        answered=sum(one.answered for one in requests.values()),
        refused=Counter(one.refused for one in requests.values() if one.refused),
        cut=len(unanswered),
        cut_and_paid=sum(one.cost in somewhere for one in unanswered),
        unpaid=sum(one.answered and one.cost not in somewhere for one in requests.values()),
        most_held=judge.most_held,
        budget=budget,
        spent=max((spent(gate) for name, gate in gates.items() if name.startswith("G#key/")), default=0),
        gate_writes=judge.writes,
        problems=list(judge.problems),
    )
    report.problems += [
        problem for gate, held in gates.items() for problem in _of_gate(gate, held, judge.charges[gate], requests)
    ]
    if len(gates) != 2:
        report.problems.append(f"two gates hold for each request, not {len(gates)}")
    return report


def _of_gate(gate: str, held: Image, charges: Counter[int], requests: Mapping[int, Request]) -> list[str]:
    problems = [f"{gate} still has {name} = {held[name]}" for name in ("h", "hc", "hp", "k", "kc", "kp") if held[name]]
    total = sum(cost * times for cost, times in charges.items())
    if held["bl"] - held["b"] != total:
        problems.append(f"{gate} has spent {held['bl'] - held['b']}, and {total} was charged")
    for cost, times in charges.items():
        if cost not in requests or not requests[cost].usage_told:
            problems.append(f"{gate} was charged {cost}, and no request is known to have cost that")
        elif times > 1:
            problems.append(f"{gate} was charged {times} times for one request")
    unpaid = [one.cost for one in requests.values() if one.followed and one.answered and one.cost not in charges]
    return problems + [f"{gate} was not charged {cost} by a worker that lived on" for cost in unpaid]
