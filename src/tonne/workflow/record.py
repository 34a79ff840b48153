"""What the ledger is told of a run that trained: its plan, its work, its forecast, its loss over time."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.count.workload import counts_of
from tonne.describe.given import GIVEN, given_of
from tonne.documents import plain
from tonne.errors import TonneError
from tonne.ledger.records import CONTINUES, INITIALISED_FROM, Evidence, Link, Stage, Work
from tonne.measure import environment, inbox
from tonne.reference.accelerators import accelerator
from tonne.train.ahead import STAGES
from tonne.workflow.kept import Kept, keep
from tonne.workflow.points import series_of

if TYPE_CHECKING:
    from tonne.describe.recipe import Recipe
    from tonne.train.fitting import Fitted
    from tonne.workflow.asked import Asked
    from tonne.workflow.metering import Metering

LOG = logging.getLogger(__name__)
METRICS = "metrics.jsonl"
WEIGHTS = "model.safetensors"
MOST_HASHED_BYTES = 2**30  # of weights: beyond it hashing takes seconds
HELD_OUT = "validation_"
NOT_METRICS = ("loss", "bits_per_byte")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a run comes from: the run whose model it starts from, and the one that it goes on with; None: of none."""

    model_of: str | None = None
    continues: str | None = None

    def links(self) -> tuple[Link, ...]:
        """As the ledger has them."""
        pairs = ((INITIALISED_FROM, self.model_of), (CONTINUES, self.continues))
        return tuple(Link(kind=kind, to=run) for kind, run in pairs if run is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A run, as it is told of: who watched it, by what plan, with what end; ``fitted`` is None where it failed."""

    metering: Metering
    recipe: Recipe
    plan_file: Path | None
    output: Path
    asked: Asked
    labels: Mapping[str, Any]
    origin: Origin
    fitted: Fitted | None


def tell_ledger(told: Recorded, status: str) -> Kept | None:
    """Leave the run for the ledger; where TONNE_HOME refuses, in the run's own folder.

    Returns:
        The run as its folder knows it now; None where nothing was measured.
    """
    before = told.metering.kept()
    if before is None:
        return None
    kept = _with_this_part(before, told.metering)
    keep(told.output, kept)
    fields = work_fields(told, kept, status)
    if inbox.put("work", fields) is None and environment.ledger() != environment.OFF:
        own = str(told.output / inbox.INBOX)
        if inbox.put("work", fields, own) is not None:
            told.asked.say(f"tonne: the run is kept in {own}: move what is in it to the inbox of TONNE_HOME.")
    return kept


def work_fields(told: Recorded, kept: Kept, status: str) -> dict[str, Any]:
    """The line of the inbox, as built-in types."""
    metering = told.metering
    stages = [Stage(name=name, duration_s=kept.stages_s[name]) for name in STAGES if kept.stages_s.get(name)]
    plan, notes = plan_of(told)
    return {
        "run": kept.run,
        "name": kept.name,
        "status": status,
        "begun_unix_s": kept.begun_unix_s,
        "ended_unix_s": metering.ended_unix_s,
        **plain(told.labels),
        "plan": plan,
        "work": plain(work_of(told, kept)),
        "forecast": plain(kept.forecast),
        "forecast_inputs": plain(kept.forecast_inputs),
        "series": plain(kept.series),
        "stages": plain(stages),
        "links": plain(told.origin.links()),
        "evidence": plain(evidence_of(told)),
        "notes": list(notes),
    }


def _with_this_part(before: Kept, metering: Metering) -> Kept:
    """What the folder knows, with what this part of the run did."""
    own, counts = metering.all_stages_s(), metering.counts
    return replace(
        before,
        counts={name: before.counts.get(name, 0) + counts.get(name, 0) for name in {**before.counts, **counts}},
        stages_s={name: before.stages_s.get(name, 0.0) + own.get(name, 0.0) for name in {**before.stages_s, **own}},
        steps=before.steps + metering.steps,
        tokens=before.tokens + metering.tokens,
        series=series_of(metering.points.all(), metering.energy, before.series),
    )


def work_of(told: Recorded, kept: Kept) -> Work:
    """What was worked: steps that were made twice, after a cut, count twice, for they were executed."""
    ahead, fitted = told.metering.ahead, told.fitted
    held_out = _last_evaluation(told.output)
    best = None if fitted is None else fitted.best
    metrics = {name: value for name, value in held_out.items() if name not in NOT_METRICS}
    last = told.metering.points.last
    counts = _counts(told.recipe)
    return Work(
        parameters=None if ahead is None else ahead.parameters,
        active_parameters=counts,
        tokens=kept.tokens,
        steps=kept.steps,
        training_flop=None if ahead is None else kept.tokens * ahead.flop_per_token,
        loss=None if last is None else last[3],
        held_out_loss=held_out.get("loss") if best is None else best.loss,
        bits_per_byte=held_out.get("bits_per_byte"),
        metrics=metrics if best is None else dict(best.metrics),
    )


def _counts(recipe: Recipe) -> int | None:
    """Parameters that a token meets; None where the counts do not know the model."""
    try:
        return int(counts_of(recipe.architecture, tokens=1, sequence_length=1, source_length=1, target_length=1,
                             objective=recipe.training.objective).active_parameters)  # fmt: skip
    except (TonneError, TypeError):
        return None


def _last_evaluation(output: Path) -> dict[str, float]:
    """The last line of the run's metrics that holds an evaluation: its losses and metrics by name."""
    try:
        lines = (output / METRICS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        if HELD_OUT not in line:
            continue
        try:
            columns: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        return {name.removeprefix(HELD_OUT): value for name, value in columns.items() if name.startswith(HELD_OUT)}
    return {}


def plan_of(told: Recorded) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The plan as it was run, as fields of a plan file, and a note where its [cluster] is not the machine's."""
    recipe = told.recipe
    given = recipe.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    fields = {**given, "name": recipe.name, "architecture": recipe.architecture.model_dump(mode="json")}
    fields, notes = _where_it_ran(fields, told)
    return {**fields, GIVEN: given_of(fields)}, notes


def _where_it_ran(fields: dict[str, Any], told: Recorded) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields with the tokens that were seen and the machine, and a note where [cluster] names another one."""
    recipe, ahead = told.recipe, told.metering.ahead
    if ahead is None:
        return fields, ()
    if not fields.get("data", {}).get("tokens"):
        fields["data"] = {**fields.get("data", {}), "tokens": ahead.total_steps * ahead.tokens_per_step}
    if ahead.chips and _is_known(ahead.chips[0]):
        here = {"accelerator": ahead.chips[0], "accelerators": ahead.processes,
                "accelerators_per_node": ahead.processes_here}  # fmt: skip
        return {**fields, "cluster": here}, ()
    planned = recipe.cluster
    if planned is None:
        return fields, ()
    where = ahead.chips[0] if ahead.chips else "a processor"
    return fields, (f"the plan's [cluster] names {planned.accelerator}; the run was made on {where}",)


def _is_known(chip: str) -> bool:
    try:
        accelerator(chip)
    except TonneError:
        return False
    return True


def evidence_of(told: Recorded) -> Evidence:
    """Hashes of plan and weights, and the commands that make the run again."""
    weights = None if told.fitted is None else told.fitted.model / WEIGHTS
    return Evidence(
        plan_sha256=_sha256(told.plan_file), weights_sha256=_sha256(weights), commands=tuple(told.asked.commands)
    )


def _sha256(path: Path | None) -> str | None:
    """Of a file's bytes; None where there is none, or it would take long."""
    try:
        if path is None or path.stat().st_size > MOST_HASHED_BYTES:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
