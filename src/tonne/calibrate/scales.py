"""How much one measured step tells: pairs of rows of one stack and model at two scales, and steps measured again."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from tonne.calibrate.measured_steps import MeasuredStep
from tonne.reference.step_residuals import StepResidual, conformal_half_width
from tonne.reference.time_stacks import MeasuredStack, ScaleSpread, precision_group

SCALES = (4.0, 64.0)
LEAST_PAIRS = 10  # fewer say nothing of a ninetieth percentile
LEAST_REPEATS = 3
Row = Mapping[str, str]


def measured_stacks(steps: Iterable[MeasuredStep]) -> list[MeasuredStack]:
    """Frameworks and chips of the rows that were fitted."""
    found = Counter((step.plan.software.framework, step.family) for step in steps)
    return [MeasuredStack(framework=f, family=c, rows=n) for (f, c), n in sorted(found.items())]


def scale_spreads(
    steps: Sequence[MeasuredStep], residuals: Iterable[StepResidual], rows: Iterable[Row]
) -> list[ScaleSpread]:
    """Spreads by kind, precision and scale; and of the same configuration measured again.

    The smaller scale's row is the measured step, the larger one is forecast: by the model that saw no row of either
    (``known_s``), times the ratio of measured to predicted of the smaller one.
    """
    log_errors = {r.id: r.log_error("known") for r in residuals}
    sizes: dict[tuple[str, str, float], list[float]] = defaultdict(list)
    for small, large in scale_pairs(steps):
        scale = large.accelerators / small.accelerators
        within = [s for s in SCALES if scale <= s]
        group = small.kind, precision_group(small.plan.training.precision)
        for most in within:
            sizes[*group, most].append(abs(log_errors[large.id] - log_errors[small.id]))
    repeated = repeats(rows)
    found = [_spread("*", "*", 1.0, repeated)]
    return found + [_spread(*key, errors) for key, errors in sorted(sizes.items()) if len(errors) >= LEAST_PAIRS]


def scale_pairs(steps: Sequence[MeasuredStep]) -> Iterator[tuple[MeasuredStep, MeasuredStep]]:
    """Rows of one source, model, task, chip, precision as spelled, length and (mixtures change fast) release."""
    groups: dict[tuple[object, ...], list[MeasuredStep]] = defaultdict(list)
    for step in steps:
        plan = step.plan
        assert plan.data is not None
        release = plan.software.released if step.kind == "moe" else None
        key = (step.source, step.model, plan.cluster.record.id, step.recipe, plan.data.sequence_length)
        groups[*key, release].append(step)
    for members in groups.values():
        for pair in combinations(sorted(members, key=lambda s: s.accelerators), 2):
            if pair[0].accelerators < pair[1].accelerators:
                yield pair


def repeats(rows: Iterable[Row]) -> list[float]:
    """Sizes of ln(step / median) of one benchmark round's submissions of one chip, size and batch, three or more."""
    names = ("source", "model_name", "gpu", "n_gpus", "global_batch_seqs", "seq_len")
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        words = f"{row['model_name']} {row['notes']}".lower()
        if "mlcommons" in row["source"] and "lora" not in words and row["step_time_s"]:
            round_of = row["source"].split(":")[0].split("@")[0]
            groups[(round_of, *(row[name] for name in names[1:]))].append(float(row["step_time_s"]))
    found = []
    for steps in groups.values():
        if len(steps) >= LEAST_REPEATS:
            middle = sorted(steps)[len(steps) // 2]
            found += [abs(math.log(step / middle)) for step in steps]
    return found


def _spread(kind: str, precision: str, most_scale: float, sizes: Sequence[float]) -> ScaleSpread:
    ordered = sorted(sizes)
    return ScaleSpread(
        kind=kind,
        precision=precision,
        most_scale=most_scale,
        pairs=len(ordered),
        median=ordered[len(ordered) // 2],
        p90=ordered[min(len(ordered) - 1, math.ceil(0.9 * len(ordered)) - 1)],
        log_half_width=conformal_half_width(ordered),
    )
