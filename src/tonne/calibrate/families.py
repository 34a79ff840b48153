"""How much of its peak a family reaches beside the fitted ones, from measured utilisations whose steps are not printed.

A row that gives its utilisation and no layout cannot be fitted part by part. It says one thing: how much more or less
of its peak its chip reaches than the fitted families do.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tonne.calibrate.measured_steps import Row, architecture_of
from tonne.calibrate.utilisation import LEAST_FRACTION, MOST_FRACTION, Observation, observation
from tonne.count.flops import model_flop
from tonne.count.sequence import sequence_of
from tonne.describe.architecture import Architecture
from tonne.describe.hardware import Cluster
from tonne.describe.plan import Software
from tonne.estimate import Z_90
from tonne.forecasting.runs import TYPICAL_LENGTH, typical_fields
from tonne.reference.calibration import POOLED
from tonne.reference.families import (
    SIXTEEN_BIT,
    FamilyShare,
    class_shares,
    geometric_mean,
    pooled_shares,
    shared_coefficients,
)
from tonne.reference.step_residuals import STUDENT_95
from tonne.reference.time_model import FITTED_FAMILIES, Spread
from tonne.timing.machine import machine_of
from tonne.timing.search import Wanted, assumed_batch_sequences, fastest_layout

LEAST_SHARE, HALVINGS = 0.2, 20  # a family that reaches less than a fifth of the others is another kind of machine
FRAMEWORKS = {"AI-Hypercomputer/maxtext": "maxtext", "stanford-crfm/levanter": "levanter"}
Values = Mapping[str, float]
Asked = dict[str, dict[str, list[tuple[str, float]]]]  # family -> source -> (kind, logarithm of the share asked for)


def family_shares(rows: Iterable[Row], coefficients: Values, spreads: Sequence[Spread]) -> list[FamilyShare]:
    """The families with measured utilisations, and `*` for those without.

    Args:
        rows: Of the table of measured throughput.
        coefficients: Of the time model, by name.
        spreads: Of steps of an unseen stack: what one source may be off.
    """
    asked = asked_shares(rows, coefficients)
    noise = {s.kind: s.log_half_width / Z_90 for s in spreads if s.stack == "unseen" and s.precision == SIXTEEN_BIT}
    between = between_families(coefficients)
    found = [family_of_sources(name, sources, noise, between) for name, sources in sorted(asked.items())]
    known = [*class_logs(coefficients), *(math.log(f.share) for f in found)]
    return [family_without_rows(known), *found]


def family_without_rows(known: Sequence[float]) -> FamilyShare:
    """What a family without any measurement is taken to reach: what the fitted ones do, as unsure as families differ.

    Equation: ln k = 0, half-width t_(n - 1) (1 + 1 / n)^0.5 (sum x^2 / (n - 1))^0.5, with x = logarithms of what the n
    families that were fitted or measured reach over what the fitted ones do, t_f the 95th percentile of Student's
    distribution with f degrees of freedom.

    Source: tonne
    """
    n = len(known)
    spread = math.sqrt(sum(x * x for x in known) / (n - 1))
    width = STUDENT_95[n - 2] * spread * math.sqrt(1 + 1 / n)
    return FamilyShare(family=POOLED, share=1.0, log_half_width=width, rows=0, sources="")


def class_logs(coefficients: Values) -> list[float]:
    """Logarithms of the fitted families' 16-bit shares over their geometric mean."""
    shares = list(class_shares(coefficients, SIXTEEN_BIT).values())
    return [math.log(share / geometric_mean(shares)) for share in shares]


def between_families(coefficients: Values) -> float:
    """Standard deviation, in logarithms, of the share of their peak that fitted families reach in 16 bits."""
    logs = class_logs(coefficients)
    return math.sqrt(sum(log * log for log in logs) / (len(logs) - 1))


def family_of_sources(
    name: str, sources: Mapping[str, Sequence[tuple[str, float]]], noise: Values, between: float
) -> FamilyShare:
    """One family's share: the mean of its sources, drawn towards 1 as far as families differ no more than they do.

    Equation: ln k = sum m_s / v_s / (1 / b^2 + sum 1 / v_s), with m_s the mean of what a source's models ask for,
    v_s = its variance, b = the spread between families; the inverse of the lower line is the variance of ln k.

    Source: tonne
    """
    means, weights = [], []
    for models in sources.values():
        means.append(sum(log for _, log in models) / len(models))
        weights.append(max(noise[kind] for kind, _ in models) ** -2)
    total = between**-2 + sum(weights)
    return FamilyShare(
        family=name,
        share=math.exp(sum(m * w for m, w in zip(means, weights, strict=True)) / total),
        log_half_width=Z_90 / math.sqrt(total),
        rows=sum(len(models) for models in sources.values()),
        sources=", ".join(sorted(sources)),
    )


def asked_shares(rows: Iterable[Row], coefficients: Values) -> Asked:
    """What the fastest row of each model asks for, by family and source."""
    best: dict[tuple[str, str, str], tuple[Observation, Row]] = {}
    for row in rows:
        seen = observation(row)
        if seen is None or not LEAST_FRACTION < seen.fraction < MOST_FRACTION:
            continue
        family, precision, _ = seen.cell
        key = (family, seen.source, seen.model)
        apart = family in {*FITTED_FAMILIES, POOLED} or precision != SIXTEEN_BIT
        if not apart and (key not in best or seen.fraction > best[key][0].fraction):
            best[key] = (seen, row)
    found: Asked = defaultdict(lambda: defaultdict(list))
    for (family, source, _), (seen, row) in best.items():
        kind = "moe" if row["kind"] == "moe" else "dense"
        found[family][source].append((kind, math.log(asked_share(row, seen, coefficients))))
    return found


def asked_share(row: Row, seen: Observation, coefficients: Values) -> float:
    """The multiple of what fitted families reach at which the fastest layout has a row's utilisation.

    Args:
        row: Of the table of measured throughput.
        seen: Its utilisation.
        coefficients: Of the time model, by name.

    Returns:
        At least a fifth, at most what makes products reach the peak.
    """
    wanted = wanted_of(row)
    flop = model_flop(wanted.architecture, wanted.sequence) * wanted.batch_sequences
    ideal_s = flop / wanted.accelerators / wanted.machine.peak_flop_per_s
    family = seen.cell[0]
    low, high = LEAST_SHARE, 1 / pooled_shares(coefficients, SIXTEEN_BIT, 1.0)["matrix_share"]
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        layout = fastest_layout(wanted, shared_coefficients(coefficients, family, SIXTEEN_BIT, middle))
        assert layout is not None  # without a limit to memory one always fits
        slower = ideal_s / layout.chosen.step_time_s < seen.fraction
        low, high = (middle, high) if slower else (low, middle)
    return math.sqrt(low * high)


def wanted_of(row: Row) -> Wanted:
    """What a row's layout is searched for with: it ran, so memory sets no limit."""
    source, accelerators = row["source"].split(":")[0], int(row["n_gpus"])
    length = int(row["seq_len"] or TYPICAL_LENGTH)
    shaped = row["layers"] and row["heads"]
    architecture = (
        architecture_of({**row, "seq_len": str(length)})
        if shaped
        else Architecture.model_validate(typical_fields(float(row["params"])))
    )
    machine = machine_of(Cluster(accelerator=row["gpu"], accelerators=accelerators), "bf16")
    assert machine is not None  # every accelerator with a utilisation has a peak, and memory
    batch = row["global_batch_seqs"]
    software = Software(
        framework=FRAMEWORKS.get(source, "unknown"),
        released=row["date"] or None,
        flash_attention=row["flash_attention"] != "n",
    )
    return Wanted(
        architecture=architecture,
        sequence=sequence_of(architecture, sequence_length=length),
        machine=machine,
        capacity_bytes=math.inf,
        accelerators=accelerators,
        batch_sequences=int(batch) if batch else int(assumed_batch_sequences(length, accelerators)),
        precision="bf16",
        software=software,
        recomputation="full" if row["activation_recompute"] == "full" else None,
        micro_batch_sequences=int(row["micro_batch"]) if row["micro_batch"] else None,
    )
