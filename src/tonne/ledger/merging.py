"""Several runs as one: parts of a run that was cut, or nodes that did not know of one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tonne.account import Account, Carbon, Throughput
from tonne.energy.use import EnergyUse
from tonne.errors import LedgerError
from tonne.estimate import Basis, Estimate
from tonne.ledger.overlap import overlap_notes
from tonne.ledger.records import FORECAST, MERGED_FROM, Evidence, Link, Run, Work
from tonne.measure.accounting import CLOCK, added
from tonne.measure.spans import together_s
from tonne.measure.status import WORST_FIRST

ENERGIES = (
    "accelerators_kwh", "cpu_kwh", "memory_kwh", "host_rest_kwh", "hosts_kwh", "network_kwh", "storage_kwh",
    "servers_kwh", "it_kwh", "facility_kwh", "measured_kwh",
)  # fmt: skip


def merged(runs: Sequence[Run], run: str, name: str | None = None) -> Run:
    """The run that some runs are together: time is that in which any of them went on, all else is added up.

    Args:
        runs: Its parts, at least two.
        run: Id of the whole.
        name: Of the whole; left out, that of the first part.

    Raises:
        LedgerError: A part is a forecast, has no account, or there are fewer than two.
    """
    parts = sorted(runs, key=lambda part: part.begun_unix_s)
    if len({part.id for part in parts}) < 2:
        raise LedgerError("one run cannot be merged with itself. Give the ids of two runs or more.")
    for part in parts:
        if part.kind == FORECAST or part.account is None:
            why = "is a forecast" if part.kind == FORECAST else "has no account"
            raise LedgerError(
                f"{part.id} {why}, so that it cannot be merged. Give runs that were measured or imported."
            )
    accounts = [part.account for part in parts if part.account is not None]
    ends = [end for part in parts if (end := part.ended_unix_s) is not None]
    first = parts[0]
    same: Callable[[str], Any] = lambda field: _same(parts, field)  # noqa: E731 - named where it is used six times
    return Run(
        id=run,
        name=name or first.name,
        kind=first.kind if same("kind") else "measured",
        status=_status([part.status for part in parts]),
        begun_unix_s=first.begun_unix_s,
        ended_unix_s=max(ends) if len(ends) == len(parts) else None,
        purpose=same("purpose"),
        project=same("project"),
        tags=tuple(dict.fromkeys(tag for part in parts for tag in part.tags)),
        account=_account(accounts, parts),
        plan=same("plan"),
        work=_work(parts),
        site=same("site"),
        hardware=_hardware(parts),
        nodes=None,
        evidence=Evidence(journal_stamps=tuple(s for part in parts for s in part.evidence.journal_stamps)),
        links=tuple(Link(kind=MERGED_FROM, to=part.id) for part in parts),
        notes=(*dict.fromkeys(note for part in parts for note in part.notes), *overlap_notes(parts)),
    )


def _same(parts: Sequence[Run], field: str) -> Any:  # noqa: ANN401 - a field of a run
    """What all parts say; None where they differ."""
    first = getattr(parts[0], field)
    return first if all(getattr(part, field) == first for part in parts) else None


def _status(found: Sequence[str]) -> str:
    return next((status for status in WORST_FIRST if status in found), found[0])


def _account(accounts: Sequence[Account], parts: Sequence[Run]) -> Account:
    durations = [(part.begun_unix_s, account.duration_s) for part, account in zip(parts, accounts, strict=True)]
    spans = [(begin, begin + float(one.value)) for begin, one in durations if one is not None]
    known = len(spans) == len(parts)
    energy: dict[str, Any] = {name: added([getattr(a.energy, name) for a in accounts]) for name in ENERGIES}
    measured, it_kwh = energy["measured_kwh"], energy["it_kwh"]
    covered = None if measured is None or it_kwh is None or not it_kwh.value else measured.value / it_kwh.value
    left_out = tuple(dict.fromkeys(name for a in accounts for name in a.energy.left_out))
    notes = dict.fromkeys(note for a in accounts for note in a.notes)
    versions = dict.fromkeys(a.data_version for a in accounts)
    return Account(
        duration_s=Estimate.exact(together_s(spans), Basis.MEASURED, CLOCK) if known else None,
        accelerator_hours=added([a.accelerator_hours for a in accounts]),
        throughput=Throughput(),
        energy=EnergyUse(**energy, coverage=None if covered is None else min(float(covered), 1.0), left_out=left_out),
        carbon=Carbon(
            **{name: added([getattr(a.carbon, name) for a in accounts]) for name in Carbon.__dataclass_fields__}
        ),
        water_l=added([a.water_l for a in accounts]),
        water_on_site_l=added([a.water_on_site_l for a in accounts]),
        water_off_site_l=added([a.water_off_site_l for a in accounts]),
        cost_usd=added([a.cost_usd for a in accounts]),
        energy_cost_usd=added([a.energy_cost_usd for a in accounts]),
        development=None,
        uncertainty={},
        data_version=", ".join(versions),
        notes=tuple(notes),
    )


def _work(parts: Sequence[Run]) -> Work:
    """Tokens, steps and FLOP of all parts together; the loss is that of the last one."""

    def total(field: str) -> Any:  # noqa: ANN401 - an int or a float
        values = [getattr(part.work, field) for part in parts]
        return None if None in values else sum(values)

    last = parts[-1].work
    return Work(
        parameters=last.parameters,
        active_parameters=last.active_parameters,
        tokens=total("tokens"),
        steps=total("steps"),
        training_flop=total("training_flop"),
        recomputed_flop=total("recomputed_flop"),
        loss=last.loss,
        held_out_loss=last.held_out_loss,
        bits_per_byte=last.bits_per_byte,
        metrics=last.metrics,
    )


def _hardware(parts: Sequence[Run]) -> dict[str, int]:
    """The most of each kind that a part had: whether two parts shared a machine is not known."""
    found: dict[str, int] = {}
    for part in parts:
        for name, count in part.hardware.items():
            found[name] = max(found.get(name, 0), count)
    return found
