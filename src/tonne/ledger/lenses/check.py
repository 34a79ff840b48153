"""Training compute beside the thresholds of the EU AI Act: both approaches, the margin, and where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tonne.estimate import Estimate, scaled
from tonne.ledger.lenses.compute import Approach, by_architecture, by_hardware
from tonne.ledger.lenses.history import Outside, outside, start_of
from tonne.ledger.lenses.rules import Verdict, lens_named
from tonne.ledger.lenses.totals import sum_of
from tonne.ledger.lenses.view import RUN, View, view
from tonne.ledger.records import INITIALISED_FROM, Run
from tonne.reference.thresholds import threshold

MARGIN = 0.30  # of the reported estimate; ec2025gpai, annex A, paragraph 123
GENERAL_PURPOSE, SYSTEMIC_RISK, MODIFICATION = "general-purpose", "systemic-risk", "modification"
THRESHOLDS = (GENERAL_PURPOSE, SYSTEMIC_RISK, MODIFICATION)


class Standing(StrEnum):
    """Where compute stands to a threshold; straddled where margin or interval reach across it."""

    BELOW = "below"
    STRADDLED = "straddled"
    REACHED = "reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Compute beside one threshold [FLOP]: low and high are the wider of the margin of 30 % and our interval."""

    key: str
    limit_flop: Estimate
    flop: Estimate
    low_flop: float
    high_flop: float
    standing: Standing
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """One run's training compute by both approaches; ``ratio`` is hardware over architecture."""

    run: str
    name: str
    architecture: Approach
    hardware: Approach
    ratio: float | None

    @property
    def agree(self) -> bool | None:
        """Whether they differ by at most the margin, of the one that is reported; None where one is unknown."""
        return None if self.ratio is None else abs(self.ratio - 1) <= MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class EuCheck:
    """What is counted, by both approaches, and the thresholds beside it."""

    view: View
    computes: tuple[Compute, ...]
    flop: Estimate | None  # cumulative: with the training of the weights that are started from
    at_least: bool  # a part that counts is unknown
    bands: tuple[Band, ...]
    notes: tuple[str, ...]


def check_eu(runs: Sequence[Run], utilisation: float | None = None, before: Sequence[Run] = ()) -> EuCheck:
    """Training compute of runs beside the thresholds.

    Args:
        runs: Of one model.
        utilisation: Share of the dense 16-bit peak over all hours, where the user states it.
        before: Others, among which those are looked for whose weights live on in these.

    Raises:
        DescriptionError: There is no run, or the utilisation is no share.

    Source: ec2025gpai, paragraphs 17, 60, 61 and annex A; eu2024aiact, article 51(2).
    """
    seen = view(lens_named("eu-flop"), runs, before)
    asked = {run.id for run in runs}
    known = [*runs, *(run for run in before if run.id not in asked)]
    counted = [run for run in known if run.id in seen.counted]
    computes = tuple(_compute(run, utilisation) for run in counted)
    total = seen.totals["training_flop"]
    flop = total.value or total.known
    bands = () if flop is None else (_general(flop), _systemic(flop), *_modifications(counted, seen))
    notes = [*seen.notes, *(note for one in computes for note in one.hardware.notes)]
    return EuCheck(
        view=seen,
        computes=computes,
        flop=flop,
        at_least=total.value is None,
        bands=bands,
        notes=tuple(dict.fromkeys(notes)),
    )


def exceeded(check: EuCheck, keys: Sequence[str] = ()) -> tuple[Band, ...]:
    """The thresholds that are reached or straddled, among those that decide.

    Args:
        check: Of some runs.
        keys: Those that decide. Left out: all; where another's model is modified, the one third alone, for below it the
            duties for the model as a whole stay with the original's provider (ec2025gpai, paragraphs 60 and 61).
    """
    modified = any(band.key == MODIFICATION for band in check.bands)
    deciding = tuple(keys) or ((MODIFICATION,) if modified else THRESHOLDS)
    return tuple(band for band in check.bands if band.key in deciding and band.standing != Standing.BELOW)


def band(key: str, flop: Estimate, limit: Estimate, meaning: str) -> Band:
    """Compute beside a threshold."""
    low = min(flop.value * (1 - MARGIN), flop.low)
    high = max(flop.value * (1 + MARGIN), flop.high)
    standing = Standing.BELOW if high <= limit.low else Standing.STRADDLED
    if low > limit.high:
        standing = Standing.REACHED
    return Band(key=key, limit_flop=limit, flop=flop, low_flop=low, high_flop=high, standing=standing, meaning=meaning)


def _compute(run: Run, utilisation: float | None) -> Compute:
    architecture, hardware = by_architecture(run), by_hardware(run, utilisation)
    known = architecture.flop is not None and hardware.flop is not None and architecture.flop.value > 0
    ratio = None
    if known and architecture.flop is not None and hardware.flop is not None:
        ratio = hardware.flop.value / architecture.flop.value
    return Compute(run=run.id, name=run.name, architecture=architecture, hardware=hardware, ratio=ratio)


def _general(flop: Estimate) -> Band:
    meaning = "above it, a model that writes text, or makes pictures or video from it, is taken for general-purpose"
    return band(GENERAL_PURPOSE, flop, threshold("eu-general-purpose-flop"), meaning)


def _systemic(flop: Estimate) -> Band:
    meaning = "above it, systemic risk is presumed; the Commission is notified within two weeks"
    return band(SYSTEMIC_RISK, flop, threshold("eu-systemic-risk-flop"), meaning)


def _modifications(counted: Sequence[Run], seen: View) -> list[Band]:
    """For each model from elsewhere that is started from: the compute of the runs on it beside a third of its own."""
    spent = {line.run: line.amounts["training_flop"] for line in seen.of(Verdict.INCLUDED) if line.what == RUN}
    known = [flop for flop in spent.values() if flop is not None]
    if not known:
        return []
    return [_modification(sum_of(known), original) for original in outside(counted, counted) if _modifies(original)]


def _modifies(original: Outside) -> bool:
    """Whether another model is started from, and not an earlier part of the same run."""
    run = original.run
    linked = any(link.kind == INITIALISED_FROM and link.to == original.name for link in run.links)
    return linked or start_of(run) is not None


def _modification(own: Estimate, original: Outside) -> Band:
    third = threshold("eu-modification-share")
    meaning = "above it, who modified the model downstream is the provider of a new one"
    base = original.training_flop
    if base is not None:
        of = f"one third of the compute of {original.name}; {meaning}"
        return band(MODIFICATION, own, scaled(base, third.value), of)
    start = start_of(original.run)
    risky = start is not None and start.systemic_risk
    base = threshold("eu-systemic-risk-flop" if risky else "eu-general-purpose-flop")
    of = f"one third of {base.value:.0e} FLOP, as the compute of {original.name} is unknown; {meaning}"
    return band(MODIFICATION, own, scaled(base, third.value), of)
