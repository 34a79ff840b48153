"""`tonne forecast`: the forecast of a plan, as text or as a document."""

from __future__ import annotations

import json
from typing import Any

from tonne.cli import own
from tonne.describe.plan import TrainingPlan
from tonne.documents import plain
from tonne.forecasting import Forecast, InferenceForecast, explain, explain_inference, forecast, forecast_inference
from tonne.report.document import document, inference_document
from tonne.report.inference_text import inference_lines
from tonne.report.text import explanation_lines, lines


def run(
    plan: TrainingPlan,
    *,
    as_json: bool = False,
    explained: bool = False,
    with_inference: bool = False,
    own_runs: bool = True,
) -> None:
    """Print what the plan will take, and where asked for, what its use will take."""
    calibration = own.calibration(own=own_runs)
    use = forecast_inference(plan, calibration) if with_inference else None
    training = forecast(plan, calibration) if use is None else use.training
    if as_json:
        print(json.dumps(_document(training, use, explained), indent=2, allow_nan=False, ensure_ascii=False))
        return
    text = [] if training is None else lines(training)
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
