"""Which limits hold for whom: a record's own, else the configuration's for its name, else the configuration's default."""

from dataclasses import dataclass, field

from pllm.core.config.policies import Budget, Budgets, Limit, Limits
from pllm.core.deployment import Deployment
from pllm.core.keys import Allowance, KeyRecord, Team
from pllm.core.limits import BudgetLimit, GateLimits, deployment_scope, key_scope, model_scope, team_scope
from pllm.core.principal import Principal

_NO_LIMIT = Limit()
_NOTHING_OWN = Allowance()


@dataclass(frozen=True, slots=True)
class Allowances:
    """`version` orders configurations by when they came to hold (Pointer.moves), also where one is gone back to: together with
    a record's it orders what gates are told, since neither ever falls."""

    limits: Limits = field(default_factory=Limits)
    budgets: Budgets = field(default_factory=Budgets)
    version: int = 0

    def principal(self, record: KeyRecord, team: Team | None) -> Principal:
        """Whoever holds a key. A team without a record has what the configuration says of its id."""
        fields = record.fields
        return Principal(
            id=record.id,
            role=fields.role,
            team=fields.team,
            models=fields.models,
            name=fields.name,
            scopes=fields.scopes,
            team_models=team.fields.models if team is not None else ("*",),
            limits=(
                self.of_key(record.id, fields.name, fields.allowance, record.version),
                *self.of_team(fields.team, team),
            ),
            tags=tuple(dict.fromkeys((*fields.tags, *(team.fields.tags if team is not None else ())))),
        )

    def of_key(self, key_id: str, name: str, own: Allowance = _NOTHING_OWN, version: int = 0) -> GateLimits:
        """What one key (or role, or token's holder) may use."""
        limit = _own_limit(own) or self.limits.keys.get(name) or self.limits.default_key
        budget = own.budget or _budget(self.budgets.keys.get(name) or self.budgets.default_key)
        return _gate(key_scope(key_id), limit, budget, self.version + version)

    def of_team(self, team_id: str | None, team: Team | None) -> tuple[GateLimits, ...]:
        """What a team may use together; nothing where there is no team."""
        if team_id is None:
            return ()
        own = team.fields.allowance if team is not None else _NOTHING_OWN
        limit = _own_limit(own) or self.limits.teams.get(team_id) or self.limits.default_team
        budget = own.budget or _budget(self.budgets.teams.get(team_id) or self.budgets.default_team)
        return (_gate(team_scope(team_id), limit, budget, self.version + (team.version if team is not None else 0)),)

    def of_model(self, model: str) -> GateLimits:
        """What all callers may use of a model, over all its deployments."""
        budget = _budget(self.budgets.models.get(model))
        return _gate(model_scope(model), self.limits.models.get(model), budget, self.version)


def limits_of_deployment(one: Deployment) -> GateLimits:
    """What all callers may use of a deployment together."""
    return GateLimits(deployment_scope(one.id), one.rpm, one.tpm, one.max_parallel)


def own_allowance(limit: Limit | None, budget: Budget | None) -> Allowance:
    """What an entry of the configuration (a role, an issuer) grants by itself."""
    limit = limit or _NO_LIMIT
    return Allowance(limit.rpm, limit.tpm, limit.max_parallel, _budget(budget), limit.sliding)


def _own_limit(own: Allowance) -> Limit | None:
    return Limit(rpm=own.rpm, tpm=own.tpm, max_parallel=own.max_parallel, sliding=own.sliding) if own.limits_rate else None


def _budget(budget: Budget | None) -> BudgetLimit | None:
    return None if budget is None else BudgetLimit(budget.amount, budget.period, budget.timezone)


def _gate(scope: str, limit: Limit | None, budget: BudgetLimit | None, version: int) -> GateLimits:
    limit = limit or _NO_LIMIT
    return GateLimits(scope, limit.rpm, limit.tpm, limit.max_parallel, budget, limit.sliding, version)
