"""The gate item and every write that admits to it, rolls it or changes its limits. Pure: values in, an update out.

One item per scope: `PK = G#<scope>`, `SK = G`, all numbers integers, about 300 bytes:

    w r t rl tl pr pt    window; requests and tokens left; their limits; what the previous window used
    p b bl               period; micro-dollars left; the budget
    g hc hp h            hold generation; money held since it began, in the one before, and altogether
    kc kp k kl           parallel calls begun in this generation, in the one before, and altogether; the limit of k
    v off                version of the limits, which admissions by older ones are refused for; present when revoked
    n                    the period of which it has been said that its budget is nearly spent
    m                    a random number that names the last admission which holds something

The item holds what is *left* beside its own limits, so a condition needs no knowledge of the limit and an environment that
never saw the gate may admit at once. Parallel calls are counted upwards instead, since a condition may compare two of the
item's attributes (`k < kl`) and a count has nothing to adjust when its limit changes. They ride in the hold generations:
a slot that a crashed request left taken is free again when its generation dies, like its money.

When a generation was skipped (nobody came for 16 minutes), what is held is dead altogether: requests do not live that long,
and whoever admits must first have moved the gate to the present. So one write frees all of it instead of half.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pllm.core.limit_image import GateImage, carried, differs, measured, new_image
from pllm.core.limits import Epochs, GateLimits, Reservation
from pllm.state.store import Absent, AllOf, Attr, Compare, Condition, Exists, Expression, Item, Minus, Plus, Update

SORT_KEY = "G"


def partition_key(scope: str) -> str:
    return f"G#{scope}"


def image_of(item: Item | None) -> GateImage | None:
    """None where there is no gate yet; a bare revocation mark is a gate in no window (0)."""
    if item is None:
        return None
    read = _Reader(item)
    return GateImage(
        window=read.number("w"),
        generation=read.number("g"),
        period=read.number("p"),
        requests_left=read.under("rl", "r"),
        requests_limit=read.limit("rl"),
        requests_before=read.under("rl", "pr"),
        tokens_left=read.under("tl", "t"),
        tokens_limit=read.limit("tl"),
        tokens_before=read.under("tl", "pt"),
        budget_left=read.under("bl", "b"),
        budget_limit=read.limit("bl"),
        held=read.number("h"),
        held_now=read.number("hc"),
        held_before=read.number("hp"),
        parallel_limit=read.limit("kl"),
        parallel=read.number("k"),
        parallel_now=read.number("kc"),
        parallel_before=read.number("kp"),
        revoked="off" in item,
        version=read.number("v"),
        warned=read.limit("n"),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    item: Item

    def limit(self, name: str) -> int | None:
        value = self.item.get(name)
        return value if isinstance(value, int) else None

    def number(self, name: str) -> int:
        return self.limit(name) or 0

    def under(self, limit: str, name: str) -> int:
        """A count that only means something while its limit stands; what a lifted one left behind is not looked at."""
        return self.number(name) if limit in self.item else 0


@dataclass(frozen=True, slots=True)
class Write:
    """An update and, where it lets a request in, how many permits it takes (0: it only prepares) and of what: the dimensions
    that `judged` limits. The gate it makes may limit others, too, of which nothing was taken then."""

    update: Update
    permits: int = 0
    judged: GateImage | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request's wish at one gate, `permits` of its kind at once (more than one: a lease). One that asks for more than it
    has takes a permit that counts no request and no call in flight. `mark` names the admission, in case its answer is lost."""

    limits: GateLimits
    need: Reservation
    now_s: float
    permits: int = 1
    mark: int = 0

    @property
    def requests(self) -> int:
        return 0 if self.need.further else self.permits

    @property
    def tokens(self) -> int:
        return self.need.tokens * self.permits

    @property
    def micro_usd(self) -> int:
        return self.need.micro_usd * self.permits


def next_write(asked: Asked, image: GateImage | None, absent: bool, at: Epochs, *, strict: bool) -> Write:
    """The write that brings a request nearest to admission, judged by the last image (None: never seen).

    `absent`: the table has said that there is no gate. `at` is the present, at least as late as the image.
    """
    limits = asked.limits
    if absent or (image is not None and image.window == 0):
        return Write(_create(asked, at), 1, measured(new_image(limits, at), asked.need))
    if image is None:
        expected = measured(new_image(limits, at), asked.need)
        return Write(_admit(asked, expected, at, seen=False), asked.permits, expected)
    held = image.holds or image.held or image.parallel  # a lifted limit may have left holds: they do not burden a new one
    if held and image.generation < at.generation:
        return Write(_roll_holds(limits.scope, image, at.generation, strict))
    if differs(image, limits):
        return Write(_change(limits, image, at))
    if image.budget_limit is not None and image.period < at.period:
        return Write(_roll_period(limits.scope, image, at.period))
    if image.counts_by_minute and image.window < at.window:
        return Write(_roll_and_admit(asked, image, at), asked.permits, measured(image, asked.need))
    image = measured(image, asked.need)
    return Write(_admit(asked, image, at, seen=True), asked.permits, image)


# --- Admitting -----------------------------------------------------------------------------------------------------


def _admit(asked: Asked, image: GateImage, at: Epochs, *, seen: bool) -> Update:
    """`image` says which dimensions there are; what is left is for the condition to find out. That the limits stand is asked,
    too: where one was lifted, what was left of it may still lie there; where one is new, nothing would be taken of it."""
    add = _hold(asked, image)
    conditions: list[Condition] = [Absent("off"), _no_newer(asked, image)]
    if image.counts_by_minute:
        conditions.append(Compare("w", "=", at.window))
    if image.requests_limit is not None:
        before = image.requests_before if seen else image.requests_limit
        conditions += [Exists("rl"), Compare("r", ">=", asked.permits + _carried(asked, before, at))]
        add["r"] = -asked.permits
    if image.tokens_limit is not None:
        before = image.tokens_before if seen else image.tokens_limit
        conditions += [Exists("tl"), Compare("t", ">=", asked.tokens + _carried(asked, before, at))]
        add["t"] = -asked.tokens
    conditions += _hold_conditions(asked, image, at)
    return _gate(asked.limits.scope, set=_marked(asked, image), add=add, condition=AllOf(tuple(conditions)))


def _roll_and_admit(asked: Asked, image: GateImage, at: Epochs) -> Update:
    """The first request of a minute opens it and is in. Sliding: it is only in if what it knows of the old window holds.
    The whole minute is opened also by a request that is held against a part of it."""
    conditions: list[Condition] = [Absent("off"), _no_newer(asked, image), Compare("w", "=", image.window)]
    conditions += [_as_seen("rl", image.requests_limit), _as_seen("tl", image.tokens_limit)]
    values: dict[str, Expression] = {"w": at.window}
    adjacent = image.window == at.window - 1
    if image.requests_limit is not None:
        values["pr"] = Minus(Attr("rl"), Attr("r")) if adjacent else 0
        values["r"] = Minus(Attr("rl"), asked.requests)
        used = image.requests_limit - image.requests_left if adjacent else 0
        conditions += [Compare("rl", ">=", asked.requests + _carried(asked, used, at))] if asked.requests else []
        conditions += _unmoved(asked, "r", image.requests_left)
    if image.tokens_limit is not None:
        values["pt"] = Minus(Attr("tl"), Attr("t")) if adjacent else 0
        values["t"] = Minus(Attr("tl"), asked.tokens)
        used = image.tokens_limit - image.tokens_left if adjacent else 0
        conditions += [Compare("tl", ">=", asked.tokens + _carried(asked, used, at))] if not asked.need.only_counted else []
        conditions += _unmoved(asked, "t", image.tokens_left)
    against = measured(image, asked.need)
    conditions += _hold_conditions(asked, against, at)
    values |= _marked(asked, against)
    return _gate(asked.limits.scope, set=values, add=_hold(asked, against), condition=AllOf(tuple(conditions)))


def _no_newer(asked: Asked, image: GateImage) -> Condition:
    """The gate has been told of no limits that are newer than those that this admission knows."""
    return Compare("v", "<=", max(image.version, asked.limits.version))


def _unmoved(asked: Asked, name: str, seen: int) -> list[Condition]:
    """What the old window used is only known as of the image; a gate that has moved since is looked at again."""
    return [Compare(name, "=", seen)] if asked.limits.sliding else []


def _carried(asked: Asked, before: int, at: Epochs) -> int:
    return carried(before, at.window, asked.now_s) if asked.limits.sliding else 0


def _hold(asked: Asked, image: GateImage) -> dict[str, int]:
    add: dict[str, int] = {}
    if image.budget_limit is not None:
        add |= {"b": -asked.micro_usd, "hc": asked.micro_usd, "h": asked.micro_usd}
    if image.parallel_limit is not None:
        add |= {"kc": 1, "k": 1}
    return add


def _marked(asked: Asked, image: GateImage) -> dict[str, Expression]:
    """What counts by the minute alone is forgotten with it: only what is held is worth a name."""
    return {"m": asked.mark} if image.holds else {}


def _hold_conditions(asked: Asked, image: GateImage, at: Epochs) -> list[Condition]:
    conditions: list[Condition] = []
    if image.holds:
        conditions.append(Compare("g", "=", at.generation))
    if image.budget_limit is not None:
        conditions += [Compare("p", "=", at.period), Exists("bl"), Compare("b", ">=", asked.micro_usd)]
    if image.parallel_limit is not None:
        conditions += [Exists("kl"), Compare("k", "<", Attr("kl"))]
    return conditions


def _create(asked: Asked, at: Epochs) -> Update:
    """A gate with its first request already in. Raises nothing: that it fits was looked at by the caller."""
    fresh = new_image(asked.limits, at)
    values = _values(fresh)
    if fresh.requests_limit is not None:
        values["r"] = fresh.requests_left - asked.requests
    if fresh.tokens_limit is not None:
        values["t"] = fresh.tokens_left - asked.need.tokens
    if fresh.budget_limit is not None:
        held = asked.need.micro_usd
        values |= {"b": fresh.budget_left - held, "hc": held, "h": held}
    against = measured(fresh, asked.need)
    if against.parallel_limit is not None:
        values |= {"kc": 1, "k": 1}
    values |= _marked(asked, against)
    return _gate(asked.limits.scope, set=values, condition=AllOf((Absent("w"), Absent("off"))))


def _values(fresh: GateImage) -> dict[str, Expression]:
    """Every attribute of a gate; those of dimensions that are not limited are left out, the counters of holds never."""
    values: dict[str, Expression] = {"w": fresh.window, "g": fresh.generation, "p": fresh.period, "v": fresh.version}
    values |= {"hc": 0, "hp": 0, "h": 0, "kc": 0, "kp": 0, "k": 0}
    if fresh.requests_limit is not None:
        values |= {"r": fresh.requests_left, "rl": fresh.requests_limit, "pr": 0}
    if fresh.tokens_limit is not None:
        values |= {"t": fresh.tokens_left, "tl": fresh.tokens_limit, "pt": 0}
    if fresh.budget_limit is not None:
        values |= {"b": fresh.budget_left, "bl": fresh.budget_limit}
    if fresh.parallel_limit is not None:
        values["kl"] = fresh.parallel_limit
    return values


# --- Moving on -----------------------------------------------------------------------------------------------------


def _roll_holds(scope: str, image: GateImage, generation: int, strict: bool) -> Update:
    values: dict[str, Expression] = {"g": generation, "hc": 0, "kc": 0}
    dead = "hp" if image.generation == generation - 1 else "h"
    if dead == "hp":
        values |= {"h": Minus(Attr("h"), Attr("hp")), "hp": Attr("hc"), "k": Minus(Attr("k"), Attr("kp")), "kp": Attr("kc")}
    else:
        values |= {"h": 0, "hp": 0, "k": 0, "kp": 0}
    if image.budget_limit is not None and not strict:
        values["b"] = Plus(Attr("b"), Attr(dead))
    return _gate(scope, set=values, condition=AllOf((Compare("g", "=", image.generation), _as_seen("bl", image.budget_limit))))


def _roll_period(scope: str, image: GateImage, period: int) -> Update:
    values: dict[str, Expression] = {"p": period, "b": Minus(Attr("bl"), Attr("h"))}
    return _gate(scope, set=values, condition=AllOf((Compare("p", "=", image.period), Exists("bl"))))


def _as_seen(limit: str, value: int | None) -> Condition:
    """Moving a gate on means something else for each thing it limits: it must not limit more, or less, than the image says."""
    return Absent(limit) if value is None else Exists(limit)


_Change = tuple[str, str, int | None, int | None, Mapping[str, Expression]]
# A limit, what is left of it, its old and its new value, and what else a limit that is new begins with.


def _change(limits: GateLimits, image: GateImage, at: Epochs) -> Update:
    """The limits of a newer configuration: what is left moves by as much as the limit does, so nothing used is forgotten."""
    values: dict[str, Expression] = {"v": limits.version}
    add: dict[str, int] = {}
    remove: list[str] = []
    conditions: list[Condition] = [Compare("v", "=", image.version)]
    budget = limits.budget.micro_usd if limits.budget else None
    changes: tuple[_Change, ...] = (
        ("rl", "r", image.requests_limit, limits.rpm, {"r": limits.rpm, "pr": 0}),
        ("tl", "t", image.tokens_limit, limits.tpm, {"t": limits.tpm, "pt": 0}),
        ("bl", "b", image.budget_limit, budget, {"b": Minus(budget, Attr("h")), "p": at.period}),
        ("kl", "", image.parallel_limit, limits.max_parallel, {}),
    )
    for limit, left, old, new, first in changes:
        conditions.append(Absent(limit) if old is None else Compare(limit, "=", old))
        if new == old:
            continue
        remove += ["n"] if limit == "bl" else []  # a tenth of it is another amount
        if new is None:
            remove += [limit]
        elif old is None:
            values |= {limit: new, **first}
        else:
            values[limit] = new
            add |= {left: new - old} if left else {}
    return _gate(limits.scope, set=values, add=add, remove=tuple(remove), condition=AllOf(tuple(conditions)))


# --- Warning -------------------------------------------------------------------------------------------------------


def warn(scope: str, image: GateImage) -> Update:
    """Whoever writes this says that the budget of the image's period is nearly spent: one of the fleet does."""
    condition = AllOf((Compare("p", "=", image.period), Compare("n", "<>", image.period)))
    return _gate(scope, set={"n": image.period}, condition=condition)


# --- Revoking ------------------------------------------------------------------------------------------------------


def revoke(scope: str) -> Update:
    """From now on nothing is admitted. Holds for a gate that is not there yet, too."""
    return _gate(scope, set={"off": True})


def restore(scope: str) -> Update:
    return _gate(scope, remove=("off",))


def _gate(
    scope: str,
    *,
    set: dict[str, Expression] | None = None,  # noqa: A002 - the name is Update's
    add: dict[str, int] | None = None,
    remove: tuple[str, ...] = (),
    condition: Condition | None = None,
) -> Update:
    return Update(partition_key(scope), SORT_KEY, set or {}, add or {}, remove, condition)
