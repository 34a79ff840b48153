"""One side of a comparison: what it takes, from which inputs and by which equations, forecast or measured alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tonne.account import Account
from tonne.describe.plan import TrainingPlan
from tonne.documents import plain
from tonne.energy.power import facility_kwh
from tonne.errors import DescriptionError, UnknownReferenceError
from tonne.estimate import Estimate
from tonne.forecasting import Forecast, forecast
from tonne.forecasting.outcome import outcome
from tonne.forecasting.single import dependencies
from tonne.impact.place import factors_of, making_of, nowhere, prices_of
from tonne.impact.results import Values, impact_of, of_known
from tonne.ledger.records import FORECAST, Run
from tonne.measure.parts import JOULES_PER_KWH
from tonne.measure.sites import site_of
from tonne.reference.accelerators import accelerator

PER_TOKEN = "energy_per_token_j"
QUANTITIES = (
    "duration_s",
    "accelerator_hours",
    "throughput.tokens_per_s",
    "energy.it_kwh",
    "energy.facility_kwh",
    PER_TOKEN,
    "carbon.operational_location_kgco2e",
    "carbon.operational_market_kgco2e",
    "carbon.embodied_kgco2e",
    "water_l",
    "cost_usd",
)
PLACE = ("grid", "region", "grid_gco2e_per_kwh")
KEPT = " as it was kept"
SAME = 1e-6  # relative; beyond it, an account does not follow from its inputs

Equations = Callable[[Mapping[str, float]], Values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What says whether two sides share what is not known of them; None where it is unknown itself."""

    place: str | None = None  # grid or region; None: one that nobody named
    machine: Any = None  # accelerators, or the processors of a measured run
    job: Any = None  # model, precision, software
    mixture: bool = False  # of experts


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A forecast or a run, with the inputs that its account follows from."""

    name: str
    kind: str
    account: Account
    inputs: Mapping[str, Estimate]
    equations: Equations
    facts: Mapping[str, float] = field(default_factory=dict)  # exact: parameters, tokens, FLOP, losses
    traits: Traits = Traits()
    rests_on: frozenset[str] = frozenset()  # inputs that move a quantity

    def estimate(self, quantity: str) -> Estimate | None:
        """One of the quantities with its own interval; None where it is unknown."""
        if quantity == PER_TOKEN:
            return _per_token(self.account, self.facts.get("tokens"))
        return estimate_at(self.account, quantity)


def scenario_of(given: Scenario | Forecast | TrainingPlan | Run, name: str | None = None) -> Scenario:
    """A side of a comparison from whatever can be one.

    Raises:
        DescriptionError: It is none of these, or a run without an account.
    """
    if isinstance(given, Scenario):
        return given
    if isinstance(given, TrainingPlan):
        given = forecast(given)
    if isinstance(given, Forecast):
        facts = _facts_of_plan(given.plan, given.counts)
        return _made(
            name or given.plan.name, FORECAST, given.account, (given.inputs, outcome), facts, _planned(given.plan)
        )
    if isinstance(given, Run):
        return _of_run(given, name or given.name)
    raise DescriptionError(
        f"{type(given).__name__} cannot be compared. Give forecasts, plans, or runs of the ledger (Ledger.run(id))."
    )


def estimate_at(account: Account, path: str) -> Estimate | None:
    """The estimate at a path of an account, such as energy.facility_kwh."""
    found: Any = account
    for part in path.split("."):
        found = getattr(found, part)
    kept: Estimate | None = found
    return kept


def _made(
    name: str,
    kind: str,
    account: Account,
    follows: tuple[Mapping[str, Estimate], Equations],
    facts: Mapping[str, float],
    traits: Traits,
) -> Scenario:
    """The scenario; what does not follow from its inputs any more stands as it was kept."""
    inputs, equations = dict(follows[0]), follows[1]
    found = equations({key: one.value for key, one in inputs.items()})
    kept: dict[str, str] = {}
    for path in QUANTITIES:
        estimate = None if path == PER_TOKEN else estimate_at(account, path)
        if estimate is not None and not _agree(found.get(path), estimate.value):
            kept[path] = path + KEPT
            inputs[path + KEPT] = estimate
    known = [path for path in QUANTITIES if path != PER_TOKEN and estimate_at(account, path) is not None]
    tokens = facts.get("tokens")

    def values(x: Mapping[str, float]) -> Values:
        out = equations(x)
        of_account = {path: x[kept[path]] if path in kept else out[path] for path in known}
        energy = of_account.get("energy.facility_kwh")
        return of_account | {PER_TOKEN: of_known(lambda kwh, n: kwh * JOULES_PER_KWH / n, energy, tokens)}

    moving = frozenset(name for names in dependencies(values, inputs).values() for name in names)
    return Scenario(
        name=name,
        kind=kind,
        account=account,
        inputs=inputs,
        equations=values,
        facts=facts,
        traits=traits,
        rests_on=moving,
    )


def _agree(computed: float | None, kept: float) -> bool:
    return computed is not None and abs(computed - kept) <= SAME * abs(kept)


def _per_token(account: Account, tokens: float | None) -> Estimate | None:
    energy = account.energy.facility_kwh
    if energy is None or not tokens:
        return None
    value, low, high = (bound * JOULES_PER_KWH / tokens for bound in (energy.value, energy.low, energy.high))
    return Estimate(value=value, low=low, high=high, basis=energy.basis, sources=energy.sources)


def _of_run(run: Run, name: str) -> Scenario:
    if run.account is None:
        raise DescriptionError(f"the run {run.id} has no account yet: nothing of it can be compared.")
    plan = None
    with suppress(DescriptionError):  # kept by a version that described plans otherwise: less is known to be shared
        plan = run.training_plan()
    facts = _facts_of_run(run, plan)
    if run.kind == FORECAST and run.forecast_inputs:
        traits = Traits() if plan is None else _planned(plan)
        return _made(name, run.kind, run.account, (run.forecast_inputs, outcome), facts, traits)
    return _made(name, run.kind, run.account, (_read(run, run.account), _meaning), facts, _measured(run, plan))


def _planned(plan: TrainingPlan) -> Traits:
    a, model = plan.architecture, plan.architecture or plan.workload
    software = plan.software.framework
    work = None if model is None else (model, plan.training.precision, software, plan.training.objective)
    return Traits(
        place=_place(plain(plan.site)),
        machine=plan.cluster.record.id,
        job=work,
        mixture=a is not None and a.experts is not None,
    )


def _measured(run: Run, plan: TrainingPlan | None) -> Traits:
    machine = (tuple(sorted(run.hardware.items())), run.nodes) if run.hardware else None
    job = None if plan is None else _planned(plan).job
    place = _place(run.site or {}) or f"where {machine or run.id} is"  # runs of nowhere are at one place on one machine
    return Traits(place=place, machine=machine, job=job)


def _place(site: Mapping[str, Any]) -> str | None:
    named = {name: site[name] for name in PLACE if site.get(name) is not None}
    return json.dumps(named, sort_keys=True) if named else None


def _facts_of_plan(plan: TrainingPlan, counts: Any) -> dict[str, float]:  # noqa: ANN401 - counts of several kinds
    facts: dict[str, float] = {}
    if counts is not None:
        facts |= {"parameters": counts.parameters, "training_flop": float(counts.training_flop)}
    if plan.data is not None:
        facts["tokens"] = plan.data.tokens
    return facts


def _facts_of_run(run: Run, plan: TrainingPlan | None) -> dict[str, float]:
    work = run.work
    names = ("parameters", "tokens", "training_flop", "loss", "held_out_loss", "bits_per_byte")
    facts = {name: float(value) for name in names if (value := getattr(work, name)) is not None}
    if "tokens" not in facts and run.kind == FORECAST and plan is not None and plan.data is not None:
        facts["tokens"] = float(plan.data.tokens)
    return facts


def _read(run: Run, account: Account) -> dict[str, Estimate]:
    """What a measured account follows from: the energy of accelerators and hosts, and what its place brings."""
    energy = account.energy
    inputs: dict[str, Estimate] = {}
    boards, hosts, it_kwh = energy.accelerators_kwh, energy.hosts_kwh, energy.it_kwh
    if (
        boards is not None
        and hosts is not None
        and it_kwh is not None
        and _agree(boards.value + hosts.value, it_kwh.value)
    ):
        inputs |= {"accelerators_kwh": boards, "hosts_kwh": hosts}
    elif it_kwh is not None:
        inputs["it_kwh"] = it_kwh
    if account.accelerator_hours is not None:
        inputs["accelerator_hours"] = account.accelerator_hours
    return inputs | _factors(run)


def _factors(run: Run) -> dict[str, Estimate]:
    site = None
    with suppress(ValueError):  # kept by a version that described places otherwise: what it meant stands as it was kept
        site = None if run.site is None else site_of(dict(run.site))
    found = nowhere() if site is None else factors_of(site)
    ids = set()
    for name in run.hardware:
        with suppress(UnknownReferenceError):  # a processor
            ids.add(accelerator(name).record.id)
    one = next(iter(ids)) if len(ids) == 1 else None
    made = {} if one is None else making_of(one).factors
    return {**found.factors, **prices_of(site, one).factors, **made}


def _meaning(x: Mapping[str, float]) -> Values:
    """Energy at the building's meter, and CO2e, water and money, of a run that was measured."""
    parts = [x[name] for name in ("accelerators_kwh", "hosts_kwh", "it_kwh") if name in x]
    it_kwh = sum(parts) if parts else None
    energy: Values = {"energy.it_kwh": it_kwh, "energy.facility_kwh": of_known(facility_kwh, it_kwh, x.get("pue"))}
    held_h = x.get("accelerator_hours")
    return {"accelerator_hours": held_h, **energy, **impact_of(x, {"accelerator_hours": held_h or None}, energy)}
