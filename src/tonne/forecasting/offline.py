"""Passing a set of examples through a model, batch by batch, on one chip: what it will take, before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tonne.count.flops import forward_flop_parts
from tonne.count.inference import NOT_SERVED, generation_flop
from tonne.count.sequence import Sequence
from tonne.describe.architecture import Architecture
from tonne.estimate import Basis, Estimate, Number, propagate
from tonne.forecasting.serving import GIGA, TERA, Serving, times_of, work_of
from tonne.reference.accelerators import AcceleratorRecord, accelerator
from tonne.reference.inference_coefficients import inference_coefficients

AS_FITTED = ("experts_fraction", "link_fraction", "latency_s")  # a single chip has no links
# What a plain loop of torch reaches on a processor, of the fastest product and of the fastest reading that the same
# processor was seen to do; and what starting a layer's operations takes. Seen on one machine (32 cases of four sizes
# and three kinds: 0.5 to 2.2 times the forecast in CPU time, 1.1 in the median), hence assumed.
ON_A_PROCESSOR: Mapping[str, Estimate] = {
    name: Estimate(value=value, low=low, high=high, basis=Basis.ASSUMED, sources=("default: torch on a processor",))
    for name, (value, low, high) in {
        "prefill_peak_fraction": (0.75, 0.45, 1.0),
        "narrow_width": (150.0, 80.0, 300.0),
        "bandwidth_fraction": (0.8, 0.5, 1.2),
        "layer_s": (2.5e-4, 1e-4, 6e-4),
        "prefill_time_factor": (1.0, 0.8, 1.6),
        "decode_time_factor": (1.2, 0.7, 2.1),
    }.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """The batches: tokens read and written by each sequence, how many stand side by side, and in what they multiply.

    ``written`` is 0 where nothing is written. ``beams``: continuations of each that are followed. ``held``: the
    precision in which weights lie. ``everywhere``: something is predicted at each place, not at the last.
    """

    read: int
    written: int = 0
    batch_sequences: int
    beams: int = 1
    precision: str = "fp32"
    held: str = "fp32"
    everywhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A chip as it was measured here and now: its fastest product, and its reading of so much as the model holds."""

    name: str
    peak_flop_per_s: float
    bandwidth_bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineForecast:
    """What one example takes: FLOP and time, on which chip, and what that rests on."""

    chip: str
    flop_per_example: int
    time_per_example_s: Estimate
    notes: tuple[str, ...]


def forecast_offline(architecture: Architecture, work: Offline, chip: str | Measured) -> OfflineForecast:
    """What an example of a batch takes.

    Equation: t = (t_p + S t_d) / B, with t_p = a pass over the batch, S = decode steps, t_d = one of them for all
    beams, B = batch; t_p and t_d as the method page on inference has them. On a processor the share of the peak is
    f W / (W + W_0), with W = width, W_0 = narrow_width: of narrow layers most time goes into what is no product.

    Args:
        architecture: Shape of the model.
        work: The batches.
        chip: One of the tables, with the coefficients that were fitted to serving engines; or one that was measured,
            with assumed shares of its peak.

    Raises:
        UnknownReferenceError: No table knows the chip.
        DescriptionError: The tables lack its peak or its bandwidth.

    Source: tonne, method page on inference.
    """
    record, own, notes = _chip(chip)
    serving = Serving(
        architecture=architecture,
        record=record,
        accelerators=1,
        batch_sequences=work.batch_sequences * work.beams,
        prompt_tokens=work.read,
        output_tokens=max(work.written, 1),
        weight_precision=work.held,
        multiplied_in=work.precision,
        cache_precision=work.precision,
        prefill_sequences=work.batch_sequences,
    )
    flop = _flop(architecture, work)
    exact = {name: Estimate.exact(value, Basis.MODELLED, "count") for name, value in work_of(serving).items()}
    if work.everywhere:
        exact["prefill_flop"] = Estimate.exact(float(work.batch_sequences * flop), Basis.MODELLED, "count")
    exact["sequences"] = Estimate.exact(float(work.batch_sequences))
    exact["width"] = Estimate.exact(float(architecture.width), Basis.MODELLED, "count")
    found = propagate(_per_example_s, {**exact, **own}).outputs["time_per_example_s"]
    assert found is not None, "all of its inputs are known"
    return OfflineForecast(
        chip=record.id,
        flop_per_example=flop,
        time_per_example_s=found,
        notes=notes,
    )


def _per_example_s(x: Mapping[str, Number]) -> dict[str, Number | None]:
    reached = x["prefill_peak_fraction"] * x["width"] / (x["width"] + x["narrow_width"])
    times = times_of({**x, "prefill_peak_fraction": reached})
    batch_s = times["prefill_s"] + x["decode_steps"] * times["decode_step_s"]
    return {"time_per_example_s": batch_s / x["sequences"]}


def _chip(chip: str | Measured) -> tuple[AcceleratorRecord, dict[str, Estimate], tuple[str, ...]]:
    """The chip's row, its coefficients, and what to know of them."""
    fitted = dict(inference_coefficients())
    if isinstance(chip, str):
        found = accelerator(chip)
        note = "coefficients are fitted to serving engines (tonne validate --inference); this is a plain loop of torch."
        wide = {"narrow_width": Estimate.exact(0.0, Basis.MODELLED, "fitted models are wide")}
        return found.record, fitted | wide, tuple(text for text in (found.note, note) if text)
    own = {name: fitted[name] for name in AS_FITTED} | dict(ON_A_PROCESSOR)
    peak, reading = chip.peak_flop_per_s / GIGA, chip.bandwidth_bytes_per_s / GIGA
    note = (
        f"this machine multiplies {peak:,.0f} GFLOP/s and reads {reading:,.0f} GB/s, measured now; the shares of both "
        f"that a model reaches are assumed. Other programs that run beside it are not in the forecast."
    )
    return _row_of(chip), own, (note,)


def _row_of(chip: Measured) -> AcceleratorRecord:
    peak = chip.peak_flop_per_s / TERA
    return AcceleratorRecord(
        id=chip.name,
        vendor="",
        name=chip.name,
        year=None,
        memory_gb=None,
        memory_type="",
        memory_bandwidth_gb_s=chip.bandwidth_bytes_per_s / GIGA,
        peak_dense_tflop_per_s={"fp32": peak, "bf16": peak, "fp16": peak},  # measured in what was multiplied
        board_power_limit_w=None,
        idle_w=None,
        interconnect="",
        interconnect_gb_s_bidirectional=None,
        process_nm=None,
        form_factor="",
        basis=Basis.MEASURED,
        source="measured here",
        note="",
    )


def _flop(a: Architecture, work: Offline) -> int:
    """FLOP of one example: read, and written in each beam."""
    if work.everywhere:
        labelled = work.read if a.task_head is not None else 0
        lengths = Sequence(
            encoder_length=0 if a.kind == "decoder" else work.read,
            decoder_length=0 if a.kind == "encoder" else work.read,
            labelled=labelled,
            predicted=work.read - labelled,
        )
        parts = forward_flop_parts(a, lengths)
        return sum(flop for part, flop in parts.items() if part != NOT_SERVED)
    first = generation_flop(a, work.read, 1)
    return first + work.beams * (generation_flop(a, work.read, max(work.written, 1)) - first)
