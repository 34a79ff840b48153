"""A forecast as a run of the ledger, so that lenses and exports read plans as they read runs."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from tonne.documents import plain
from tonne.ledger.records import FORECAST, Evidence, Run, Work

if TYPE_CHECKING:
    from tonne.forecasting import Forecast


def run_of_forecast(forecast: Forecast, *, unix_s: float | None = None) -> Run:
    """What a forecast says, as a run of kind "forecast" that begins at a time (now, where left out)."""
    plan = plain(forecast.plan)
    counts = forecast.counts
    return Run(
        id=f"forecast-{_digest(plan)[:8]}",
        name=forecast.plan.name,
        kind=FORECAST,
        status=FORECAST,
        begun_unix_s=time.time() if unix_s is None else unix_s,
        account=forecast.account,
        plan=plan,
        work=Work(
            parameters=getattr(counts, "parameters", None),
            active_parameters=getattr(counts, "active_parameters", None),
            tokens=_whole(getattr(counts, "tokens", None)),
            training_flop=getattr(counts, "training_flop", None),
        ),
        forecast_inputs=forecast.inputs,
        site={name: value for name, value in plan["site"].items() if value is not None},
        hardware=_hardware(plan["cluster"]),
        evidence=Evidence(data_version=forecast.account.data_version, plan_sha256=_digest(plan)),
        notes=forecast.notes,
    )


def _digest(plan: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _whole(tokens: float | None) -> int | None:
    return None if tokens is None else round(tokens)


def _hardware(cluster: dict[str, Any]) -> dict[str, int]:
    """The accelerators of a plan; how many may be unknown where their hours are given."""
    name, count = cluster.get("accelerator"), cluster.get("accelerators")
    return {} if name is None or count is None else {str(name): int(count)}
