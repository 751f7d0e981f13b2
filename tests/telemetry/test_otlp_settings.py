"""OpenTelemetry's variables: what they mean here, and what is said of those that mean nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pllm.telemetry.otlp_settings import OtlpSettings, Sampler, read_settings, resource_of

BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


def read(variables: dict[str, str], endpoint: str | None = None) -> OtlpSettings:
    settings, warnings = read_settings(variables, endpoint)
    assert warnings == ()
    assert settings is not None
    return settings


def warned(name: str, value: str) -> tuple[OtlpSettings | None, str]:
    settings, warnings = read_settings(BASE | {name: value}, None)
    (warning,) = warnings
    assert warning.startswith(f"{name}: ")
    return settings, warning


@pytest.mark.parametrize(
    ("variables", "endpoint", "url"),
    [
        (BASE, None, "http://localhost:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example/otlp/"}, None, "https://c.example/otlp/v1/traces"),
        (BASE | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/in"}, None, "http://t:1/in"),
        ({}, "http://c:4318", "http://c:4318/v1/traces"),
        (BASE | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/in"}, "http://c:4318", "http://c:4318/v1/traces"),
    ],
)
def test_the_address_is_the_configurations_else_the_traces_own_else_the_base(
    variables: dict[str, str], endpoint: str | None, url: str
) -> None:
    assert read(variables, endpoint).url == url


@pytest.mark.parametrize("off", [{}, BASE | {"OTEL_TRACES_EXPORTER": "none"}, BASE | {"OTEL_SDK_DISABLED": "TRUE"}])
def test_nothing_is_exported_where_nobody_asks_for_it(off: dict[str, str]) -> None:
    assert read_settings(off, None) == (None, ())


def test_an_address_that_is_none_is_said_and_nothing_is_exported() -> None:
    settings, warnings = read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"}, None)
    assert settings is None
    assert warnings[0].startswith("OTEL_EXPORTER_OTLP_ENDPOINT: expected an address")
    for address in ("http://u:secret@host", "http://host/in?key=secret", "secret"):
        assert "secret" not in read_settings({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": address}, None)[1][0]


def test_headers_are_percent_decoded_and_never_printed() -> None:
    settings = read(BASE | {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20c2VjcmV0, x-team = a%2Cb ,"})
    assert settings.headers == {"authorization": "Basic c2VjcmV0", "x-team": "a,b"}
    assert "c2VjcmV0" not in repr(settings)
    own = read(BASE | {"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2"})
    assert own.headers == {"b": "2"}


@pytest.mark.parametrize("bad", ["api-key", "=secretvalue", "a b=secretvalue", "x=secret%0d%0aHost: evil", "x=%ff%fe"])
def test_headers_that_cannot_be_read_are_said_without_their_values(bad: str) -> None:
    settings, warning = warned("OTEL_EXPORTER_OTLP_HEADERS", bad)
    assert settings is not None
    assert settings.headers == {}
    assert "secret" not in warning


def test_the_resource_is_the_function_and_what_the_operator_says_of_it() -> None:
    given = read(
        BASE | {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod%20eu,service.name=x", "OTEL_SERVICE_NAME": "llm"}
    )
    assert given.resource == {"deployment.environment.name": "prod eu", "service.name": "llm"}
    environment = {
        "AWS_LAMBDA_FUNCTION_NAME": "stack-gateway",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/stack-gateway",
        "AWS_REGION": "eu-west-1",
    }
    found = resource_of(environment, given.resource)
    assert found["service.name"] == "llm"
    assert (found["faas.name"], found["faas.max_memory"], found["cloud.region"]) == ("stack-gateway", 1024**3, "eu-west-1")
    assert found["aws.log.group.names"] == ["/aws/lambda/stack-gateway"]
    assert "faas.version" not in found
    assert resource_of(environment, {})["service.name"] == "stack-gateway"
    assert resource_of({}, {}) == {"service.name": "pllm"}


def test_a_resource_that_cannot_be_read_is_said() -> None:
    settings, _ = warned("OTEL_RESOURCE_ATTRIBUTES", "no equals sign")
    assert settings is not None
    assert settings.resource == {}


@pytest.mark.parametrize(
    ("name", "argument", "sampler"),
    [
        ("always_on", "", Sampler(1.0, parent_based=False)),
        ("always_off", "0.7", Sampler(0.0, parent_based=False)),
        ("traceidratio", "0.25", Sampler(0.25, parent_based=False)),
        ("parentbased_always_on", "", Sampler(1.0)),
        ("parentbased_always_off", "", Sampler(0.0)),
        ("parentbased_traceidratio", "0.1", Sampler(0.1)),
        ("parentbased_traceidratio", "", Sampler(1.0)),
    ],
)
def test_samplers_go_by_their_names(name: str, argument: str, sampler: Sampler) -> None:
    variables = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert read(BASE | variables).sampler == sampler


@pytest.mark.parametrize("name", ["jaeger_remote", "xray", "parentbased_jaeger_remote", "sometimes"])
def test_a_sampler_that_there_is_not_is_said(name: str) -> None:
    settings, warning = warned("OTEL_TRACES_SAMPLER", name)
    assert settings is not None
    assert settings.sampler == Sampler()
    assert "parentbased_always_on is used" in warning


@pytest.mark.parametrize("argument", ["1.5", "-1", "half", "nan"])
def test_a_ratio_that_is_none_is_said(argument: str) -> None:
    settings, warnings = read_settings(
        BASE | {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": argument}, None
    )
    assert settings is not None
    assert settings.sampler.ratio == 1.0
    assert warnings == ("OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1; 1 is used",)


@given(st.integers(1, 2**128 - 1), st.floats(0, 1), st.sampled_from([None, True, False]))
def test_a_parent_that_has_decided_is_followed_and_the_ratio_holds_for_the_rest(
    trace: int, ratio: float, parent: bool | None
) -> None:
    trace_id = f"{trace:032x}"
    alone = Sampler(ratio, parent_based=False)(parent, trace_id)
    assert Sampler(ratio)(parent, trace_id) == (alone if parent is None else parent)
    assert not Sampler(0.0)(None, trace_id)
    assert Sampler(1.0)(None, trace_id)
    assert not alone or Sampler(min(ratio * 1.5, 1.0))(None, trace_id)  # who is in at a ratio is in at every larger one


def test_a_tenth_of_the_traces_is_a_tenth() -> None:
    from random import Random

    from pllm.core.trace_context import new_trace_id

    random = Random(3).getrandbits
    taken = sum(Sampler(0.1)(None, new_trace_id(1_800_000_000, random)) for _ in range(20_000))
    assert 1_850 < taken < 2_150


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"),
        ("OTEL_PROPAGATORS", "b3multi"),
        ("OTEL_TRACES_EXPORTER", "console"),
    ],
)
def test_what_has_no_effect_is_said(name: str, value: str) -> None:
    settings, _ = warned(name, value)
    assert settings is not None


def test_timeout_and_compression_are_kept() -> None:
    settings = read(BASE | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1500", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"})
    assert (settings.timeout_s, settings.gzip) == (1.5, True)
    assert read(BASE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}).timeout_s == 0.5
