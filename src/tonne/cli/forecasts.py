"""`tonne forecast`: the forecast of a plan, as text or as a document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tonne import __version__
from tonne.cli import own
from tonne.describe.plan import TrainingPlan
from tonne.documents import plain
from tonne.forecasting import Forecast, InferenceForecast, explain, explain_inference, forecast, forecast_inference
from tonne.measure import inbox
from tonne.measure.identity import UNNAMED, slug
from tonne.reference.calibration import Calibration
from tonne.report.document import document, inference_document
from tonne.report.inference_text import inference_lines
from tonne.report.text import explanation_lines, lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How a forecast is kept in the ledger; ``wanted`` says whether at all."""

    wanted: bool = True
    project: str | None = None
    tags: tuple[str, ...] = ()


def run(
    plan: TrainingPlan,
    *,
    as_json: bool = False,
    explained: bool = False,
    with_inference: bool = False,
    own_runs: bool = True,
    kept: Kept | None = None,
) -> None:
    """Print what the plan will take, and where asked for, what its use will take; the run's forecast is kept."""
    calibration = own.calibration(own=own_runs)
    use = forecast_inference(plan, calibration) if with_inference else None
    training = forecast(plan, calibration) if use is None else use.training
    _print(training, use, calibration, as_json=as_json, explained=explained)
    if training is not None and kept is not None and kept.wanted:
        leave_for_ledger(training, kept)


def leave_for_ledger(made: Forecast, kept: Kept) -> str:
    """The id under which the ledger will keep a forecast: the same for the same plan, numbers and version."""
    told = document(made)
    text = json.dumps({**told, "tonne": __version__}, sort_keys=True)
    run = f"forecast-{slug(made.plan.name or UNNAMED)}-{sha256(text.encode()).hexdigest()[:10]}"
    more = {"tonne": __version__, "project": kept.project, "tags": list(kept.tags)}
    inbox.put("forecast", {"id": run, "forecast": told, **more}, name=run)
    return run


def _print(
    training: Forecast | None,
    use: InferenceForecast | None,
    calibration: Calibration | None,
    *,
    as_json: bool,
    explained: bool,
) -> None:
    if as_json:
        print(json.dumps(_document(training, use, explained), indent=2, allow_nan=False, ensure_ascii=False))
        return
    text = [] if training is None else lines(training, calibration)
    if training is not None and explained:
        text += ["", *explanation_lines(explain(training))]
    if use is not None:
        text += ["", *inference_lines(use)] if text else inference_lines(use)
        text += ["", *explanation_lines(explain_inference(use))] if explained else []
    print("\n".join(text))


def _document(training: Forecast | None, use: InferenceForecast | None, explained: bool) -> dict[str, Any]:
    """The training run's document with the key `inference`; of a plan without a run, the use alone."""
    whole = {} if training is None else document(training)
    if training is not None and explained:
        whole["explanation"] = plain(explain(training))
    if use is None:
        return whole
    used = inference_document(use)
    if explained:
        used["inference"]["explanation"] = plain(explain_inference(use))
    return {**used, **whole}
