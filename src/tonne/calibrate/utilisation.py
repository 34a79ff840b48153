"""Step utilisation by chip family, precision and kind of model, from published throughput.

Every row is brought to one convention: model FLOP of the shape, times tokens per second as measured, over the dense
peak. The TFLOP/s that a source prints are used only where a row gives neither shape nor tokens per second.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.errors import UnknownReferenceError
from tonne.estimate import Z_90, Basis, Estimate
from tonne.reference.accelerators import AcceleratorRecord, accelerator
from tonne.reference.calibration import (
    KINDS,
    POOLED,
    PRECISION_CLASS,
    STEP,
    Coefficient,
    family_of,
)
from tonne.reference.goodput import FLOP_PER_TFLOP, KIND_OF_ROW, peak_flop_per_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = Mapping[str, str]
Effect = tuple[str, ...]
Cell = tuple[str, str, str]  # family, precision class, kind
SPELLING = {"mxfp8": "fp8", "nvfp4": "fp4", "mxfp4": "fp4"}
MEMORY_SUFFIX = re.compile(r"-\d+GB$")
FLOP_PER_PARAMETER = 6  # a multiplication and an addition, forward once and backward twice
FLOP_PER_CAUSAL_POSITION = 6  # 12 for the whole square of scores and mixes, half of it under a causal mask
LEAST_FRACTION, MOST_FRACTION = 0.03, 0.9  # outside, a row is another kind of work or a slip of the pen
PRIOR_LOG_SPREAD = 0.35  # of the effects of family, precision and kind, before a row of theirs is seen
WIDE_VARIANCE = 100.0  # of the mean: no opinion
ROUNDS = 20  # the noise and the effects settle within a handful
NOT_STEPS = ("lora", "goodput-level", "recalled", "adapter", "_sft_", "task=sft", "sft ", "finetun", "fine-tun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Utilisation of one measured configuration."""

    cell: Cell
    source: str
    model: str
    fraction: float


def observations(rows: Iterable[Row]) -> list[Observation]:
    """Utilisation of every row that says enough, in one convention.

    Left out: fine-tuning and LoRA, hours of whole runs, rows from memory, and rows without precision, shape or speed.
    """
    found = (observation(row) for row in rows)
    return [o for o in found if o is not None and LEAST_FRACTION < o.fraction < MOST_FRACTION]


def observation(row: Row) -> Observation | None:
    """Utilisation of one row; None where it is left out, or says too little."""
    words = f"{row['model_name']} {row['source']} {row['notes']}".lower()
    precision = SPELLING.get(row["precision"], row["precision"])
    if precision not in PRECISION_CLASS or any(mark in words for mark in NOT_STEPS):
        return None
    chip = _chip(row["gpu"])
    if chip is None:
        return None
    peak, rate = peak_flop_per_s(chip, precision), model_flop_per_s(row)
    if peak is None:
        return None
    fraction = float(row["mfu"]) if rate is None and row["mfu"] else (rate / peak if rate else None)
    if fraction is None:
        return None
    cell = (family_of(chip.id), PRECISION_CLASS[precision], KIND_OF_ROW[row["kind"]])
    return Observation(cell=cell, source=publisher(row["source"]), model=row["model_name"], fraction=fraction)


def _chip(name: str) -> AcceleratorRecord | None:
    """The accelerator meant; a memory size behind the name is dropped where the tables do not write it so."""
    for spelling in (name, MEMORY_SUFFIX.sub("", name)):
        try:
            return accelerator(spelling).record
        except UnknownReferenceError:
            continue
    return None


def publisher(source: str) -> str:
    """Who measured: a repository or a paper, its releases and tables taken together."""
    return source.split(":")[0].split("@")[0].split(" Table")[0].strip()


def model_flop_per_s(row: Row) -> float | None:
    """Model FLOP per second and accelerator of a row, in this project's convention [FLOP/s]."""
    tokens_per_s = _tokens_per_s(row)
    flop = flop_per_token(row) if row["layers"] and row["hidden"] and row["seq_len"] else None
    if flop is not None and tokens_per_s is not None:
        return flop * tokens_per_s
    # Mixtures with latent attention or windows: the source's own count, checked to be this convention within 1 %.
    checked = "causal (half)" in row["tflops_definition"] or "recompute excluded" in row["tflops_definition"]
    return float(row["tflops_per_gpu"]) * FLOP_PER_TFLOP if checked and row["tflops_per_gpu"] else None


def _tokens_per_s(row: Row) -> float | None:
    if row["step_time_s"] and row["global_batch_seqs"] and row["seq_len"] and row["n_gpus"]:
        tokens = float(row["global_batch_seqs"]) * float(row["seq_len"])
        return tokens / float(row["step_time_s"]) / float(row["n_gpus"])
    return float(row["tokens_per_s_per_gpu"]) if row["tokens_per_s_per_gpu"] else None


def flop_per_token(row: Row) -> float | None:
    """Model FLOP per token of a row's shape, forward and backward.

    Equation: C = 6 (N + V h) + 6 L H Q s, with N the active matrix weights, V h the logits, s the sequence length;
    attention counts the entries of the causal mask, half the square.

    Returns:
        FLOP per token [FLOP/token]; None where the shape does not say it (latent attention, sliding windows).
    """
    if row["experts"] and not row["kv_heads"]:
        return None  # latent attention
    if row["kind"] != "decoder" and row["kind"] != "moe":
        return None
    layers, width = float(row["layers"]), float(row["hidden"])
    heads = float(row["heads"] or 0)
    attended = heads * float(row["head_width"]) if heads and row["head_width"] else width
    keys = attended * (float(row["kv_heads"]) / heads if heads and row["kv_heads"] else 1.0)
    feed_forward = float(row["ffn_hidden"] or 4 * width)
    matrices = 3 if row["feed_forward"] == "gated" else 2
    active = float(row["experts_active"] or 1) + float(row["experts_shared"] or 0)
    router = width * float(row["experts"] or 0)
    weights = layers * (width * (2 * attended + 2 * keys) + matrices * width * feed_forward * active + router)
    logits = width * float(row["vocab"] or 51200)  # the common padded GPT-2 vocabulary where a row names none
    attention = FLOP_PER_CAUSAL_POSITION * layers * attended * float(row["seq_len"])
    return FLOP_PER_PARAMETER * (weights + logits) + attention


def best_layouts(found: Iterable[Observation]) -> list[Observation]:
    """Of each source, cell and model the fastest configuration: tables hold sweeps, and a run takes what won."""
    best: dict[tuple[Cell, str, str], Observation] = {}
    for o in found:
        key = (o.cell, o.source, o.model)
        if key not in best or o.fraction > best[key].fraction:
            best[key] = o
    return list(best.values())


def step_coefficients(found: Iterable[Observation]) -> list[Coefficient]:
    """Step utilisation by cell, each source weighing the same, cells shrunk towards what they share.

    Equation: ln u = m + a_family + b_precision + c_kind + d_family,precision,kind + e_source + r; the effects a to d
    are normal with PRIOR_LOG_SPREAD (d with half of it), e and r together have the spread of the residuals, each side
    its own. A cell's interval holds the spread of its centre and of a new source and configuration.

    Args:
        found: Utilisation of measured configurations.

    Returns:
        A coefficient for every precision and kind of every family seen, and pooled (`*`).
    """
    import numpy as np  # noqa: PLC0415 - only who fits pays for NumPy

    by_source: dict[tuple[Cell, str], list[float]] = defaultdict(list)
    for o in found:
        by_source[o.cell, o.source].append(math.log(o.fraction))
    cells = [cell for cell, _ in by_source]
    means = np.array([sum(logs) / len(logs) for logs in by_source.values()])
    effects = list(dict.fromkeys(effect for cell in cells for effect in _effects(cell)))
    design = np.array([[float(effect in _effects(cell)) for effect in effects] for cell in cells])
    ridge = np.diag([1 / _prior_variance(effect) for effect in effects])
    noise = float(np.var(means))
    for _ in range(ROUNDS):
        covariance = np.linalg.inv(design.T @ design / noise + ridge)
        sizes = covariance @ design.T @ means / noise
        used = len(effects) - float(np.trace(ridge @ covariance))  # degrees of freedom that the data decided
        noise = float(np.sum((means - design @ sizes) ** 2)) / max(len(means) - used, 1.0)
    fitted = {
        cell: _centre(cell, dict(zip(effects, sizes, strict=True)), covariance, effects)
        for cell in _all_cells({family for family, _, _ in cells})
    }
    residuals = [(value - fitted[cell][0], 1 / len(logs)) for (cell, _), logs in by_source.items() for value in logs]
    inflation = math.sqrt(noise / float(np.mean((means - design @ sizes) ** 2)))
    low, high = weighted_side_spreads(residuals)
    spread = (low * inflation, high * inflation)
    return [_coefficient(cell, centre, spread, sum(c == cell for c in cells)) for cell, centre in fitted.items()]


def weighted_side_spreads(residuals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Standard deviations below and above zero of weighted residuals, each side of its own."""
    sides = ([(e, w) for e, w in residuals if e < 0], [(e, w) for e, w in residuals if e > 0])
    low, high = (
        math.sqrt(sum(w * e * e for e, w in side) / sum(w for _, w in side)) if side else 0.0 for side in sides
    )
    return low, high


def _effects(cell: Cell) -> tuple[Effect, ...]:
    """The effects that add up to a cell: mean, family, precision, experts or none, and what is the cell's own.

    An encoder runs the same matrices as a dense decoder; no row shows one, so it carries an unknown effect of its own.
    """
    family, precision, kind = cell
    experts = ("experts", str(kind == "moe"))
    unseen = () if kind in {"moe", "dense-decoder"} else (("cell", kind),)
    return (("mean",), ("family", family), ("precision", precision), experts, *unseen, ("cell", *cell))


def _prior_variance(effect: Effect) -> float:
    if effect == ("mean",):
        return WIDE_VARIANCE
    return (PRIOR_LOG_SPREAD / 2 if effect[0] == "cell" else PRIOR_LOG_SPREAD) ** 2


def _centre(
    cell: Cell, sizes: Mapping[Effect, float], covariance: NDArray[np.float64], effects: list[Effect]
) -> tuple[float, float]:
    """Log of a cell's utilisation, and the variance of that; effects never seen add their prior variance."""
    wanted = _effects(cell)
    seen = [effects.index(effect) for effect in wanted if effect in sizes]
    unseen = sum(_prior_variance(effect) for effect in wanted if effect not in sizes)
    variance = float(sum(covariance[i, j] for i in seen for j in seen)) + unseen
    return sum(sizes.get(effect, 0.0) for effect in wanted), variance


def _all_cells(families: set[str]) -> list[Cell]:
    classes = sorted(set(PRECISION_CLASS.values()))
    return [(f, p, k) for f in [*sorted(families), POOLED] for p in classes for k in KINDS]


def _coefficient(cell: Cell, centre: tuple[float, float], spread: tuple[float, float], sources: int) -> Coefficient:
    value = min(math.exp(centre[0]), MOST_FRACTION)
    low, high = (math.hypot(math.sqrt(centre[1]), side) for side in spread)
    estimate = Estimate(
        value=value,
        low=value * math.exp(-Z_90 * low),
        high=max(min(value * math.exp(Z_90 * high), MOST_FRACTION), value),
        basis=Basis.MODELLED if sources else Basis.ASSUMED,
        sources=("tonne.calibrate: throughput.csv",),
    )
    return Coefficient(quantity=STEP, family=cell[0], precision=cell[1], kind=cell[2], estimate=estimate, rows=sources)
