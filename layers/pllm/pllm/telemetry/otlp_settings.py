"""Where spans go and which: OpenTelemetry's own environment variables, read as its specification says.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and .../protocol/exporter/. What a variable
asks for and the exporter cannot do is said in a warning. No value is quoted: headers are credentials.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from pllm.core.config.kinds import url_problem
from pllm.telemetry.otlp_json import Value

TIMEOUT_S = 0.5
"""A collector stands beside the function, or near it; the invocation ends, and is billed, only after it has answered."""

_EXPORTER = "OTEL_EXPORTER_OTLP_"
_TRACES = "OTEL_EXPORTER_OTLP_TRACES_"
_PATH = "/v1/traces"
_PROTOCOL = "http/json"
_UNSUPPORTED = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
_SAMPLERS = ("always_on", "always_off", "traceidratio")
_BASED = "parentbased_"
_DEFAULT_SAMPLER = "parentbased_always_on"


@dataclass(frozen=True, slots=True)
class Sampler:
    """Which traces are recorded: `ratio` of all; where `parent_based`, a parent that has decided is followed instead."""

    ratio: float = 1.0
    parent_based: bool = True

    def __call__(self, parent: bool | None, trace_id: str) -> bool:
        if self.parent_based and parent is not None:
            return parent
        # By the id, so that everyone who samples by ratio comes to the same traces.
        return int(trace_id[16:], 16) < round(self.ratio * 2**64)


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """`url` is the whole address. `headers` may be credentials. `resource`: what the operator says of the service."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    resource: Mapping[str, str] = field(default_factory=dict)
    sampler: Sampler = field(default_factory=Sampler)
    timeout_s: float = TIMEOUT_S
    gzip: bool = False


def read_settings(variables: Mapping[str, str], endpoint: str | None) -> tuple[OtlpSettings | None, tuple[str, ...]]:
    """From the variables and the configuration's `endpoint`, which goes before them; None where nothing is exported. Beside it
    what is to be warned of."""
    reader = _Reader(variables)
    url = reader.url(endpoint)
    if url is None or reader.is_off():
        return None, tuple(reader.warnings)
    settings = OtlpSettings(
        url,
        reader.headers(),
        reader.resource(),
        reader.sampler(),
        reader.timeout_s(),
        reader.gzip(),
    )
    reader.note_what_is_not_done(url)
    return settings, tuple(reader.warnings)


def resource_of(environment: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Value]:
    """Who reports: the function, as the environment says, and what the operator says of it, which wins."""
    function = environment.get("AWS_LAMBDA_FUNCTION_NAME", "")
    own: dict[str, Value] = {"service.name": function or "pllm"}
    if function:
        memory = environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        group = environment.get("AWS_LAMBDA_LOG_GROUP_NAME", "")
        own |= {
            "cloud.provider": "aws",
            "cloud.platform": "aws_lambda",
            "cloud.region": environment.get("AWS_REGION", ""),
            "faas.name": function,
            "faas.version": environment.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
            "faas.instance": environment.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
            "faas.max_memory": int(memory) * 1024 * 1024 if memory.isdecimal() else 0,
            "aws.log.group.names": [group] if group else (),
        }
    return {name: value for name, value in own.items() if value} | dict(given)


class _Reader:
    """Reads variables and collects what is to be warned of."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.warnings: list[str] = []

    def url(self, endpoint: str | None) -> str | None:
        """The traces' own variable is used as it stands; a collector's base address gets the path."""
        name, base, path = "telemetry.otlp_endpoint", endpoint, _PATH
        if not base:
            name, base, path = f"{_TRACES}ENDPOINT", self._get(f"{_TRACES}ENDPOINT"), ""
        if not base:
            name, base, path = f"{_EXPORTER}ENDPOINT", self._get(f"{_EXPORTER}ENDPOINT"), _PATH
        if not base:
            return None
        if problem := url_problem(base):
            without_value = problem.partition("; got ")[0].partition(", got ")[0]
            self.warnings.append(f"{name}: {without_value}; no spans are exported")
            return None
        return f"{base.rstrip('/')}{path}" if path else base

    def is_off(self) -> bool:
        exporter = self._get("OTEL_TRACES_EXPORTER").lower()
        if exporter not in ("", "otlp", "none"):
            self._warn("OTEL_TRACES_EXPORTER", "otlp and none are what there is; otlp is used")
        return exporter == "none" or self._get("OTEL_SDK_DISABLED").lower() == "true"

    def headers(self) -> dict[str, str]:
        name = self._of_traces("HEADERS")
        found = _pairs(self._get(name)) if name else {}
        if found is None or not all(map(_is_header, found, found.values())):
            self._warn(name, "expected name=value,name=value, percent-encoded; no header is sent")
            return {}
        return {key.lower(): value for key, value in found.items()}

    def resource(self) -> dict[str, str]:
        found = _pairs(self._get("OTEL_RESOURCE_ATTRIBUTES"))
        if found is None:
            self._warn("OTEL_RESOURCE_ATTRIBUTES", "expected name=value,name=value, percent-encoded; it is not used")
            found = {}
        service = self._get("OTEL_SERVICE_NAME")
        return found | {"service.name": service} if service else found

    def sampler(self) -> Sampler:
        name = self._get("OTEL_TRACES_SAMPLER").lower() or _DEFAULT_SAMPLER
        kind = name.removeprefix(_BASED)
        if kind not in _SAMPLERS:
            self._warn(
                "OTEL_TRACES_SAMPLER", f"expected {', '.join(_SAMPLERS)}, or {_BASED} before it; {_DEFAULT_SAMPLER} is used"
            )
            return Sampler()
        ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind)
        return Sampler(self._ratio() if ratio is None else ratio, kind != name)

    def timeout_s(self) -> float:
        name = self._of_traces("TIMEOUT")
        text = self._get(name) if name else ""
        if text and not (text.isdecimal() and int(text)):
            self._warn(name, f"expected milliseconds; {TIMEOUT_S * 1000:.0f} are used")
            return TIMEOUT_S
        return int(text) / 1000 if text else TIMEOUT_S

    def gzip(self) -> bool:
        name = self._of_traces("COMPRESSION")
        wanted = self._get(name).lower() if name else ""
        if wanted not in ("", "none", "gzip"):
            self._warn(name, "gzip and none are what there is; none is used")
        return wanted == "gzip"

    def note_what_is_not_done(self, url: str) -> None:
        protocol = self._of_traces("PROTOCOL")
        if protocol and self._get(protocol).lower() != _PROTOCOL:
            self._warn(
                protocol, f"spans are sent as {_PROTOCOL}, which collectors take where they take http/protobuf (port 4318)"
            )
        for what in _UNSUPPORTED:
            if name := self._of_traces(what):
                self._warn(name, "it has no effect; SSL_CERT_FILE names further authorities")
        propagators = self._get("OTEL_PROPAGATORS").lower()
        if propagators and "tracecontext" not in propagators:
            self._warn("OTEL_PROPAGATORS", "tracecontext is what there is; telemetry.propagate: false switches it off")

    def _ratio(self) -> float:
        text = self._get("OTEL_TRACES_SAMPLER_ARG")
        try:
            ratio = float(text) if text else 1.0
        except ValueError:
            ratio = -1.0
        if not 0 <= ratio <= 1:
            self._warn("OTEL_TRACES_SAMPLER_ARG", "expected a number from 0 to 1; 1 is used")
            return 1.0
        return ratio

    def _of_traces(self, what: str) -> str:
        """The variable that holds, "" where neither is set."""
        return next((name for name in (f"{_TRACES}{what}", f"{_EXPORTER}{what}") if self._get(name)), "")

    def _get(self, name: str) -> str:
        return (self._variables.get(name) or "").strip()

    def _warn(self, name: str, words: str) -> None:
        self.warnings.append(f"{name}: {words}")


def _pairs(text: str) -> dict[str, str] | None:
    """`name=value,name=value`, percent-encoded; None when it is not."""
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            return None
        try:
            found[unquote(name.strip(), errors="strict")] = unquote(value.strip(), errors="strict")
        except UnicodeDecodeError:
            return None
    return found


def _is_header(name: str, value: str) -> bool:
    token = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return token and not any(character in value for character in "\r\n\0")
