"""The lines that tell of health probes: a log line for each deployment that was asked, one line of metrics for the run."""

from pllm.core.evidence import Evidence
from pllm.core.probing import Due
from pllm.telemetry.emf import event_line
from pllm.telemetry.log import Emit


def emit_probe(emit: Emit, one: Due, outcome: str, why: str, latency_ms: float, now_ms: int) -> None:
    """`outcome`: ok, failed, unclear, lost. `why`: an errors.ErrorKind's value where it failed. Never what was answered: an
    answer may quote a credential."""
    line = {
        "level": "WARN" if outcome == "failed" else "INFO",
        "message": "probe",
        "timestamp": now_ms,
        "deployment": one.deployment.id,
        "model": one.deployment.model_name,
        "provider": one.deployment.provider,
        "reason": one.reason.value,
        "asked": "model" if one.evidence is Evidence.MODEL else "provider",
        "outcome": outcome,
        "latency_ms": round(latency_ms, 3),
    }
    emit(line | ({"error": why} if why else {}))


def emit_run(emit: Emit, function: str, counts: dict[str, int], now_ms: int) -> None:
    """`counts`: probes by outcome. A run that asked nothing is told as well: it shows that the schedule is alive."""
    line = event_line({"ProbesOk": counts["ok"], "ProbesFailed": counts["failed"]}, function, now_ms)
    rest = {f"probes_{name}": number for name, number in counts.items() if name not in ("ok", "failed")}
    emit(line | rest)
