"""From configuration entries to deployments: which provider, at which address, with which credential.

An entry with several keys is several deployments, each with its own breaker, latency and limits.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pllm.core.config import apply_model_info, split_model
from pllm.core.config.model_entry import ModelEntry, ModelInfo, Params
from pllm.core.config.problem import Path
from pllm.core.config.schema import Config
from pllm.core.deployment import Deployment
from pllm.core.profile import ModelProfile
from pllm.core.routing import Catalogue
from pllm.providers.base import ProviderRow
from pllm.providers.credentials import Credential, CredentialError, credentials_of
from pllm.providers.registry import Registry

ProfileOf = Callable[[str, str], ModelProfile]
"""(provider, model) -> what is known of it; an unknown model gets the permissive default."""


@dataclass(frozen=True, slots=True)
class Built:
    """The catalogue of a configuration. `notes` say, in plain words, what was left out and why. `left_out`: why an entry of
    `model_list`, by its position, has no deployment though it is switched on. `mixed`: (where, what) of names that may be
    answered by different embedding models."""

    catalogue: Catalogue
    notes: tuple[str, ...] = ()
    left_out: Mapping[int, str] = field(default_factory=dict)
    mixed: tuple[tuple[Path, str], ...] = ()


@dataclass(slots=True)
class _Builder:
    registry: Registry
    variables: Mapping[str, str]
    profile_of: ProfileOf
    models: dict[str, list[Deployment]] = field(default_factory=dict)
    disabled: dict[str, str] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    unknown_bases: list[str] = field(default_factory=list)
    vectors: dict[str, frozenset[str]] = field(default_factory=dict)
    profiles: dict[tuple[str, str], ModelProfile] = field(default_factory=dict)

    def add(self, number: int, entry: ModelEntry) -> None:
        if not entry.enabled:
            self.disabled.setdefault(entry.model_name, "it is switched off, or a variable that it needs is not set.")
            return
        row, model = provider_of(entry.served, self.registry)
        self._note_vectors(entry, row, model)
        try:
            credentials = self._credentials(entry, row)
        except CredentialError as error:
            self.disabled.setdefault(entry.model_name, str(error))
            self.left_out[number] = str(error)
            return
        for credential in credentials or [Credential()]:
            self.models.setdefault(entry.model_name, []).append(self._deployment(entry, row, model, credential))

    def _credentials(self, entry: ModelEntry, row: ProviderRow) -> list[Credential]:
        """Raises CredentialError also where the entry has none, or no address to send it to."""
        credentials = credentials_of(entry.served, row, self.variables)
        if not credentials and row.key_required:
            raise CredentialError(f"no credential was found; {row.title} takes one in {row.key_env}.")
        if row.base_url is None and row.kind in ("azure", "keyed") and entry.served.api_base is None:
            raise CredentialError(f"{row.title} needs an 'api_base'.")
        return credentials

    def _note_vectors(self, entry: ModelEntry, row: ProviderRow, model: str) -> None:
        info = entry.model_info
        provider, name = self._behind(row, model, info)
        said = info.mode if info is not None else None
        if (said or self._profile(provider, name).mode) == "embedding":
            from pllm.core.config.vector_mix import vectors_of  # for those who have any

            made = vectors_of(name, entry.served.dimensions)
            self.vectors[entry.model_name] = self.vectors.get(entry.model_name, frozenset()) | {made}

    def _deployment(self, entry: ModelEntry, row: ProviderRow, model: str, credential: Credential) -> Deployment:
        params = entry.served
        return Deployment(
            id=self._id(entry, row, model, credential.label),
            model_name=entry.model_name,
            provider=row.name,
            model=model,
            dialects=_dialects(params, row),
            api_base=params.api_base,
            api_key=credential.key,
            aws=credential.aws,
            api_version=params.api_version,
            organization=params.organization,
            region=params.region,
            project=params.project,
            location=params.location,
            headers=params.headers,
            defaults=params.defaults,
            profile=apply_model_info(self._catalogued(row, model, entry.model_info), entry.model_info),
            timeout_s=entry.timeout,
            stream_idle_timeout_s=entry.stream_idle_timeout,
            rpm=entry.rpm,
            tpm=entry.tpm,
            max_parallel=entry.max_parallel,
            priority=entry.priority,
            weight=entry.weight,
            tags=entry.tags,
        )

    def _catalogued(self, row: ProviderRow, model: str, info: ModelInfo | None) -> ModelProfile:
        """What the catalogue knows of the model, or of the `base_model` that the entry names in its place."""
        profile = self._profile(*self._behind(row, model, info))
        if info is not None and info.base_model is not None and not profile.known:
            self.unknown_bases.append(info.base_model)
        return profile

    def _profile(self, provider: str, model: str) -> ModelProfile:
        """Looked up once, however many credentials and questions there are."""
        key = (provider, model)
        if key not in self.profiles:
            self.profiles[key] = self.profile_of(provider, model)
        return self.profiles[key]

    def _behind(self, row: ProviderRow, model: str, info: ModelInfo | None) -> tuple[str, str]:
        """(provider, model) by which the catalogue is asked."""
        if info is None or info.base_model is None:
            return row.name, model
        prefix, rest = split_model(info.base_model)
        by_prefix = self.registry.get(prefix) if prefix else None
        return (by_prefix.name, rest) if by_prefix else (row.name, info.base_model)

    def _id(self, entry: ModelEntry, row: ProviderRow, model: str, label: str) -> str:
        """Made of what the entry says, not of where it stands: moving an entry must not swap two deployments' state."""
        place = entry.served.region or entry.served.location or _host(entry.served.api_base)
        name = entry.id or f"{entry.model_name}@{row.name}/{model}" + (f"@{place}" if place else "")
        name += f"#{label}" if label else ""
        self.taken[name] = self.taken.get(name, 0) + 1
        return name if self.taken[name] == 1 else f"{name}~{self.taken[name]}"


def build(config: Config, registry: Registry, variables: Mapping[str, str], profile_of: ProfileOf) -> Built:
    """Every deployment of a resolved configuration. `variables`: the environment and the provider-keys secret, merged."""
    builder = _Builder(registry, variables, profile_of)
    for number, entry in enumerate(config.model_list):
        builder.add(number, entry)
    disabled = {name: why for name, why in builder.disabled.items() if name not in builder.models}
    catalogue = Catalogue(
        models={name: tuple(deployments) for name, deployments in builder.models.items()},
        aliases=dict(config.model_aliases),
        disabled=disabled,
        routes={route.slug: route for route in config.routes if route.enabled},
    )
    notes = [f"model {name!r} is not served: {why}" for name, why in disabled.items()]
    notes += [f"base_model {name!r} is not in the catalogue of models" for name in dict.fromkeys(builder.unknown_bases)]
    mixes = _mixes(config, builder.vectors)
    notes += [what for _, what in mixes]
    return Built(catalogue, tuple(notes), builder.left_out, mixes)


def _mixes(config: Config, vectors: Mapping[str, frozenset[str]]) -> tuple[tuple[Path, str], ...]:
    if not vectors:
        return ()
    from pllm.core.config.vector_mix import mixed  # for those who have any

    return tuple(mixed(config, vectors))


def provider_of(params: Params, registry: Registry) -> tuple[ProviderRow, str]:
    """The row that serves an entry, and the provider's own name for the model.

    In this order: an explicit `provider`; a provider whose own host `api_base` names (then the model keeps a prefix that is
    not the provider's: OpenRouter's "openai/gpt-4-turbo"); the prefix of `model`; with an unknown `api_base`, any
    OpenAI-compatible server; OpenAI.
    """
    prefix, rest = split_model(params.model)
    by_prefix = registry.get(prefix) if prefix else None
    explicit = registry.get(params.provider) if params.provider else None
    row = explicit or _by_host(params.api_base, registry) or by_prefix
    if row is not None:
        return row, rest if by_prefix is row else params.model
    fallback = registry.get("compatible" if params.api_base else "openai")
    assert fallback is not None
    return fallback, params.model


def _by_host(api_base: str | None, registry: Registry) -> ProviderRow | None:
    host = _host(api_base)
    if not host:
        return None
    own = (row for row in registry.rows if row.base_url and _host(row.base_url) == host)
    return next(own, registry.get("azure") if host.endswith((".openai.azure.com", ".services.ai.azure.com")) else None)


def _host(url: str | None) -> str:
    return (urlsplit(url).netloc or "") if url else ""


def _dialects(params: Params, row: ProviderRow) -> tuple[str, ...]:
    if params.dialects:
        return params.dialects
    own = params.api_base is None or (row.base_url is not None and _host(params.api_base) == _host(row.base_url))
    return row.dialects if own or row.kind == "azure" else row.dialects[:1]
