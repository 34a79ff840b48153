"""What a run's weights come from: runs of the ledger, and models that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tonne.describe.presets import preset_ids
from tonne.describe.start import Start
from tonne.errors import TonneError
from tonne.estimate import Estimate
from tonne.forecasting.modification import original_training_flop
from tonne.ledger.records import CONTINUES, INITIALISED_FROM, MERGED_FROM, Run

OF_WEIGHTS = (CONTINUES, INITIALISED_FROM)  # merged-from is of records: the parts are in the whole already


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Weights that a run starts from and whose training is not among the runs: what it took, where that is known."""

    name: str
    run: Run  # one that starts from it
    training_flop: Estimate | None
    notes: tuple[str, ...] = ()


def parents(run: Run) -> tuple[str, ...]:
    """What its links say that its weights come from."""
    return tuple(link.to for link in run.links if link.kind in OF_WEIGHTS)


def parts_of_others(runs: Sequence[Run]) -> Mapping[str, str]:
    """Ids of runs that another one among them was merged from, and the id of that one."""
    known = _by_name(runs)
    pairs = [(link.to, run.id) for run in runs for link in run.links if link.kind == MERGED_FROM]
    return {known[part].id: whole for part, whole in pairs if part in known}


def ancestors(runs: Iterable[Run], among: Sequence[Run]) -> set[str]:
    """Ids of the runs whose weights live on in some runs, these themselves left out unless another starts from them."""
    by_name = _by_name(among)
    found: set[str] = set()
    waiting = [parent for run in runs for parent in parents(run)]
    while waiting:
        known = by_name.get(waiting.pop())
        if known is not None and known.id not in found:
            found.add(known.id)
            waiting += parents(known)
    return found


def outside(runs: Iterable[Run], among: Sequence[Run]) -> tuple[Outside, ...]:
    """Weights from elsewhere that some runs start from, each once."""
    by_name = _by_name(among)
    found: dict[str, Outside] = {}
    for run in runs:
        start = start_of(run)
        for parent in parents(run):
            if parent not in by_name:
                flop, notes = _original(start if parent == _name(start) else _published(parent))
                found.setdefault(parent, Outside(name=parent, run=run, training_flop=flop, notes=notes))
        name = _name(start)
        if name is not None and name not in found and not parents(run):
            flop, notes = _original(start)
            found[name] = Outside(name=name, run=run, training_flop=flop, notes=notes)
    return tuple(found.values())


def start_of(run: Run) -> Start | None:
    """What its plan says that training starts from; None from scratch, or where no plan is known."""
    fields = None if run.plan is None else run.plan.get("start")
    if not fields:
        return None
    start = Start.model_validate(fields)
    return None if start.from_scratch else start


def _published(name: str) -> Start | None:
    """A published model as what is started from; None where no table knows it."""
    return Start.model_validate({"from": name}) if name.lower() in preset_ids() else None


def _name(start: Start | None) -> str | None:
    if start is None:
        return None
    return start.origin if isinstance(start.origin, str) else start.origin.train


def _original(start: Start | None) -> tuple[Estimate | None, tuple[str, ...]]:
    """What the original's training took, and what was assumed; a plan or folder that is gone leaves it unknown."""
    if start is None:
        return None, ()
    notes: list[str] = []
    try:
        return original_training_flop(start, notes), tuple(notes)
    except TonneError as error:
        return None, (f"{_name(start)} cannot be read any more: {error}",)


def _by_name(runs: Sequence[Run]) -> Mapping[str, Run]:
    """Runs by id and, where it is not ambiguous, by name."""
    named: dict[str, Run] = {}
    for run in runs:
        named[run.name] = run
    unique = {run.name for run in runs if sum(other.name == run.name for other in runs) == 1}
    return {name: run for name, run in named.items() if name in unique} | {run.id: run for run in runs}
