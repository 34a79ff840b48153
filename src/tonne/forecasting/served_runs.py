"""Published measurements of inference as the forecast sees them: same replica, same work, in the row's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tonne.count.inference import served_weights_bytes
from tonne.describe.architecture import Architecture
from tonne.errors import TonneError, UnknownReferenceError
from tonne.estimate import Estimate
from tonne.forecasting.serving import Serving, held_of, serving_joule, times_of, work_of
from tonne.reference.accelerators import AcceleratorRecord, accelerator
from tonne.reference.inference_runs import InferenceRun
from tonne.reference.power import power_family
from tonne.units import GIBIBYTE

MOST_SEQUENCES = 1024  # where a row says "as many as fit": what engines admit at once
IDLE_SHARE = 0.14  # of the power while training, where the tables know no idle watts
WIDENING_ENGINES = ("llama.cpp", "gpt-fast")  # quantised weights become 16-bit numbers before they are multiplied
DECODED = 2  # output tokens where a row of one phase names none: one step


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRun:
    """A measured time beside what it takes to forecast it.

    ``measured_s``: of one decode step, of one prefill, of a batch from its first prompt token to its last output token
    ("request"), or of a replica for one request ("mixed").
    """

    run: InferenceRun
    serving: Serving
    work: Mapping[str, float]
    measured_s: float | None

    @property
    def phase(self) -> str:
        """The row's phase."""
        return self.run.phase


def served_run(run: InferenceRun) -> ServedRun:
    """A row as the forecast sees it.

    Raises:
        TonneError: The row lacks what a forecast needs; the text says what.
    """
    needed = {
        "preset": run.preset,
        "accelerator": run.accelerator,
        "accelerators": run.accelerators,
        "weight_precision": run.weight_precision,
        "prompt_tokens": run.prompt_tokens,
    }
    missing = [name for name, value in needed.items() if value in {None, ""}]
    if missing:
        raise TonneError(f"{run.id}: {', '.join(missing)} not given.")
    serving = _serving(run)
    work = work_of(serving) | _weights_as_printed(run, serving)
    return ServedRun(run=run, serving=serving, work=work, measured_s=_measured_s(run, serving))


def forecast_s(served: ServedRun, coefficients: Mapping[str, float]) -> float:
    """The time that a row measured, from coefficients by name [s]."""
    times = times_of({**served.work, **coefficients})
    if served.phase == "decode":
        return float(times["decode_step_s"])
    if served.phase == "prefill":
        return float(times["prefill_s"])
    if served.phase == "request":
        return float(times["prefill_s"] + served.work["decode_steps"] * times["decode_step_s"])
    return float(times["replica_s"])


def prefill_share(served: ServedRun, coefficients: Mapping[str, float]) -> float:
    """Share of the forecast time that goes into prompts."""
    times = times_of({**served.work, **coefficients})
    if served.phase == "decode":
        return 0.0
    part = times["prefill_share_s"] if served.phase == "mixed" else times["prefill_s"]
    return float(part) / forecast_s(served, coefficients)


def measured_w(served: ServedRun) -> float | None:
    """Mean watts of one accelerator that a row tells: energy a token times tokens a second [W]."""
    run = served.run
    if run.energy_j_per_output_token is None or run.tokens_per_s is None or run.power_boundary != "accelerators":
        return None
    return run.energy_j_per_output_token * run.tokens_per_s / (run.accelerators or served.serving.accelerators)


def forecast_w(served: ServedRun, coefficients: Mapping[str, float]) -> float:
    """Mean watts of one accelerator while it serves, from coefficients by name [W]."""
    x = {**served.work, **coefficients}
    times = times_of(x)
    full_w = training_power_w(served.serving.record)
    idle_w = IDLE_SHARE * full_w if served.serving.record.idle_w is None else served.serving.record.idle_w
    return float(serving_joule(x, times, idle_w, full_w) / times["replica_s"])


def training_power_w(record: AcceleratorRecord) -> float:
    """Mean power of an accelerator in the steps of training, by its power family [W].

    Raises:
        UnknownReferenceError: Only whole servers of it are known.
    """
    family = power_family(record.id)
    if family.fraction_value is None or record.board_power_limit_w is None:
        raise UnknownReferenceError(f"the power of {record.id} alone is not in the tables: whole servers at most.")
    return family.fraction_value * record.board_power_limit_w


def values_of(coefficients: Mapping[str, Estimate]) -> dict[str, float]:
    """Coefficients without their intervals."""
    return {name: estimate.value for name, estimate in coefficients.items()}


def _serving(run: InferenceRun) -> Serving:
    batch = 1 if run.batch_sequences is None else max(1, round(run.batch_sequences))
    tensor = run.tensor or run.accelerators or 1
    output = round(run.output_tokens or DECODED)
    serving = Serving(
        architecture=Architecture.preset(run.preset),
        record=accelerator(run.accelerator).record,
        accelerators=tensor,
        batch_sequences=batch,
        prompt_tokens=max(1, round(run.prompt_tokens or 1)),
        output_tokens=max(DECODED, output),
        weight_precision=run.weight_precision,
        cache_precision=_cache_precision(run),
        multiplied_in="fp16" if run.engine in WIDENING_ENGINES else None,
        prefill_sequences=1 if run.phase == "mixed" else batch,
    )
    if run.batch_sequences is not None:
        return serving
    return replace(serving, batch_sequences=most_sequences(serving))


def _weights_as_printed(run: InferenceRun, serving: Serving) -> dict[str, float]:
    """What is read of the weights, where a row prints their size: 4-bit files are of many kinds."""
    if run.weights_gib is None:
        return {}
    counted = served_weights_bytes(serving.architecture, serving.weight_precision)
    ratio, work = run.weights_gib * GIBIBYTE / counted, work_of(serving)
    return {name: ratio * work[name] for name in ("prefill_weights_bytes", "decode_weights_bytes")}


def _cache_precision(run: InferenceRun) -> str:
    """TensorRT-LLM's published 8- and 4-bit checkpoints keep the cache in fp8 as well; elsewhere it is 16-bit."""
    quantised = run.weight_precision in {"fp8", "fp4"}
    return "fp8" if quantised and (run.engine.lower().startswith("tensorrt") or "cache in fp8" in run.note) else "bf16"


def most_sequences(serving: Serving) -> int:
    """Sequences that fit a replica at their longest, at most MOST_SEQUENCES; one where nothing fits."""
    held = held_of(replace(serving, batch_sequences=1))
    if held.available_bytes is None or held.cache_bytes == 0.0:
        return MOST_SEQUENCES
    room = held.available_bytes - held.weights_bytes
    return int(min(max(room // held.cache_bytes, 1), MOST_SEQUENCES))


def _measured_s(run: InferenceRun, serving: Serving) -> float | None:
    """The row's time, from its speed where it prints no time."""
    if run.phase == "prefill" and run.ttft_s is not None:
        return run.ttft_s
    if run.tokens_per_s is None:
        return None
    replicas = (run.accelerators or serving.accelerators) / serving.accelerators
    tokens = {
        "output": 1.0 if run.phase == "decode" else serving.output_tokens,
        "prompt": serving.prompt_tokens,
        "total": serving.prompt_tokens + serving.output_tokens,
    }[run.tokens_kind or "output"]
    sequences = 1 if run.phase == "mixed" else serving.batch_sequences
    return float(replicas * sequences * tokens / run.tokens_per_s)
