"""Published training runs as plans: what a forecast of one would have been given, and the step it would have found.

Here, and not in `calibrate` or `validation`, because both stand on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from tonne.count.sequence import sequence_of
from tonne.count.workload import counts_of
from tonne.describe.architecture import Architecture
from tonne.describe.plan import Schedule, TrainingPlan
from tonne.describe.presets import preset_fields
from tonne.estimate import Estimate, propagate
from tonne.forecasting.layouts import timed
from tonne.forecasting.lost_time import add_lost_time
from tonne.forecasting.outcome import outcome
from tonne.reference.accelerators import accelerator
from tonne.reference.calibration import Calibration, family_of
from tonne.reference.goodput import KIND_OF_ROW, peak_flop_per_s, run_flop
from tonne.reference.pace import PaceEvidence
from tonne.reference.time_model import FITTED_FAMILIES
from tonne.units import SECONDS_PER_HOUR

Row = Mapping[str, str]
PRECISION = "bf16"  # where a row does not say it
TYPICAL_LENGTH, TYPICAL_VOCABULARY, TYPICAL_HEAD = 2048, 50_304, 128
TYPICAL_ASPECT = 100  # width over layers, of a row that gives neither (kaplan2020scaling, figure 5: it hardly matters)
PARAMETERS_OF_LAYER = 12  # times the width squared
TYPICAL_DAYS, TYPICAL_FRACTION, SECONDS_PER_DAY = 30, 0.35, 86_400  # how many accelerators a run of so much work has
PER_NODE = 8
# Flash attention (dao2022flash) and recomputing scores alone (korthikanti2022recomputation) were published in May 2022:
# runs planned before held all scores, and recomputed all layers.
FLASH_ATTENTION_SINCE = 2023


def pace_evidence(rows: Iterable[Row], calibration: Calibration) -> list[PaceEvidence]:
    """What each run says that serves gate 3: its calendar utilisation over the step and the goodput forecast for it."""
    found = []
    for row in rows:
        chip = accelerator(row["chip"]).record if row["gate_hours"] == "3" else None
        work, peak = run_work_flop(row), None if chip is None else peak_flop_per_s(chip, precision_of(row))
        if chip is None or work is None or peak is None or not row["chip_hours"]:
            continue
        step = step_fraction(row, calibration)
        kept = run_outcome(row, calibration, step=Estimate.exact(step.value), paced=False)["throughput.goodput"]
        calendar = work / (float(row["chip_hours"]) * SECONDS_PER_HOUR * peak)
        assert kept is not None
        found.append(
            PaceEvidence(
                family=family_of(chip.id),
                kind=KIND_OF_ROW[row["kind"]],
                ratio=calendar / (step.value * kept.value),
                step=step,
                goodput=kept,
                timed=_timed_fraction(tuple(sorted(row.items()))) is not None and family_of(chip.id) in FITTED_FAMILIES,
            )
        )
    return found


def run_outcome(
    row: Row, calibration: Calibration, *, step: Estimate | None = None, paced: bool = True
) -> dict[str, Estimate | None]:
    """What a forecast says of the time of a run, from the work of its parameters and shape.

    Args:
        row: With tokens and parameters, and a chip with a 16-bit peak.
        calibration: Fitted coefficients.
        step: Share of the peak that its steps reach; forecast where left out.
        paced: Whether its steps are those of runs, and not as fast as forecast.
    """
    chip, work = accelerator(row["chip"]).record, run_work_flop(row)
    peak = peak_flop_per_s(chip, precision_of(row))
    assert work is not None
    assert peak is not None
    factors = {
        "training_flop": Estimate.exact(work),
        "peak_flop_per_s": Estimate.exact(peak),
        "accelerators": Estimate.exact(accelerators_of(row)),
        "achieved_peak_fraction": step or step_fraction(row, calibration),
    }
    if paced:
        factors["pace"] = calibration.pace(chip.id, KIND_OF_ROW[row["kind"]])
    add_lost_time(Schedule(), calibration, factors)
    return propagate(outcome, factors).outputs


def run_work_flop(row: Row) -> float | None:
    """Model FLOP of a run: a shape or length that its row lacks is that of its plan, so that attention is counted."""
    if row["kind"] == "encdec" or not (row["params_active"] or row["params_total"]):
        return run_flop(row)
    shape = architecture_fields(row)
    spare = {"layers": shape["layers"], "hidden": shape["width"], "seq_len": TYPICAL_LENGTH}
    return run_flop({**row, **{name: row[name] or str(value) for name, value in spare.items()}})


def precision_of(row: Row) -> str:
    """Precision of a run: that of its row, else bf16; chips without it take their fp16 peak."""
    return row["precision"] or PRECISION


def step_fraction(row: Row, calibration: Calibration) -> Estimate:
    """Share of the peak that the steps of a run would have been forecast to reach."""
    found = _timed_fraction(tuple(sorted(row.items())))
    if found is not None:
        return found
    chip = accelerator(row["chip"]).record
    return calibration.achieved_peak_fraction(chip.id, precision_of(row), KIND_OF_ROW[row["kind"]])


@lru_cache(maxsize=256)
def _timed_fraction(items: tuple[tuple[str, str], ...]) -> Estimate | None:
    """The same by the time model; None where it was not fitted for the chip. Searched once for each row."""
    row = dict(items)
    if row["kind"] == "encdec" or (row["kind"] == "moe" and not row["layers"]):
        return None  # lengths of source and target, or experts, that nobody printed cannot be laid out
    plan = run_plan(row)
    assert plan.architecture is not None
    assert plan.data is not None
    length = plan.data.sequence_length
    assert length is not None
    counts = counts_of(plan.architecture, tokens=plan.data.tokens, sequence_length=length)
    assert sequence_of(plan.architecture, sequence_length=length).tokens == length
    found = timed(plan, counts, (length, None, None), plan.training.precision)
    return None if found is None else found.fraction


def run_plan(row: Row) -> TrainingPlan:
    """The plan of a published run: model, tokens, chip and how many, and no more."""
    modern = int(row["year"]) >= FLASH_ATTENTION_SINCE
    fields: dict[str, Any] = {
        "name": row["id"],
        "architecture": architecture_fields(row),
        "data": {
            "tokens": float(row["tokens_trained"]),
            "sequence_length": int(float(row["seq_len"] or TYPICAL_LENGTH)),
        },
        "training": {
            "precision": precision_of(row),
            "global_batch_sequences": int(row["global_batch_seqs"]) if row["global_batch_seqs"] else None,
            **({} if modern else {"recomputation": "full"}),
        },
        "software": {"released": row["year"], "flash_attention": modern},
        "cluster": {"accelerator": row["chip"], "accelerators": accelerators_of(row)},
        "site": {"pue": 1.0},
    }
    return TrainingPlan.from_fields(fields, origin=row["id"])


def accelerators_of(row: Row) -> int:
    """How many ran; where a row does not say it, as many as do its work in a month."""
    if row["n_chips"]:
        return int(float(row["n_chips"]))
    work, peak = run_flop(row), peak_flop_per_s(accelerator(row["chip"]).record, PRECISION)
    assert work is not None
    assert peak is not None
    wanted = work / (peak * TYPICAL_FRACTION * TYPICAL_DAYS * SECONDS_PER_DAY)
    return max(PER_NODE, 1 << round(math.log2(wanted)))


def architecture_fields(row: Row) -> dict[str, Any]:
    """The fields of a row's architecture: its preset; else a decoder of its dimensions, or of typical ones."""
    if row["architecture_id"] and row["kind"] != "encdec":
        return preset_fields(row["architecture_id"])
    active = float(row["params_active"] or row["params_total"])
    if not row["layers"] or not row["hidden"]:
        return typical_fields(active)
    width, heads = int(float(row["hidden"])), int(float(row["heads"] or 0)) or int(float(row["hidden"])) // TYPICAL_HEAD
    fields = {
        "kind": "decoder",
        "layers": int(float(row["layers"])),
        "width": width,
        "heads": heads,
        "kv_heads": int(float(row["kv_heads"] or heads)),
        "head_width": width // heads,
        "feed_forward_width": int(float(row["ffn_hidden"] or 4 * width)),
        "vocabulary": int(float(row["vocab"] or TYPICAL_VOCABULARY)),
        "positions": "rotary",
        "max_positions": int(float(row["seq_len"] or TYPICAL_LENGTH)),
    }
    if row["kind"] == "moe":
        return fields | {"feed_forward": "gated", "experts": _experts(row, fields)}
    return min((fields | {"feed_forward": f} for f in ("plain", "gated")), key=lambda f: abs(_size(f) - active))


def typical_fields(parameters: float) -> dict[str, Any]:
    """The fields of a decoder of so many parameters, in the usual proportions."""
    layers = max(1, round((parameters / (PARAMETERS_OF_LAYER * TYPICAL_ASPECT**2)) ** (1 / 3)))
    heads = max(1, round(TYPICAL_ASPECT * layers / TYPICAL_HEAD))
    return {
        "kind": "decoder",
        "layers": layers,
        "width": TYPICAL_HEAD * heads,
        "heads": heads,
        "feed_forward_width": 4 * TYPICAL_HEAD * heads,
        "vocabulary": TYPICAL_VOCABULARY,
        "positions": "rotary",
        "max_positions": TYPICAL_LENGTH,
    }


def _experts(row: Row, fields: Mapping[str, Any]) -> dict[str, int]:
    """Experts that bring a row's total and active parameters, each a gated block of the row's feed-forward width."""
    one = 3 * fields["layers"] * fields["width"] * fields["feed_forward_width"]
    total, active = float(row["params_total"]), float(row["params_active"])
    without = _size({**fields, "feed_forward": "gated"}) - one
    per_token = max(1, round((active - without) / one))
    count = 1 << round(math.log2(per_token + max(1.0, (total - active) / one)))  # so that accelerators can share them
    return {"count": max(count, per_token), "per_token": per_token, "width": fields["feed_forward_width"]}


def _size(fields: Mapping[str, Any]) -> float:
    return counts_of(Architecture.model_validate(dict(fields)), tokens=1e9, sequence_length=1).parameters
