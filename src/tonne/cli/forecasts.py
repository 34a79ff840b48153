"""`tonne forecast`: the forecast of a plan, as text or as a document."""

from __future__ import annotations

import json

from tonne.describe.plan import TrainingPlan
from tonne.forecasting import explain, forecast
from tonne.report.document import document, plain
from tonne.report.text import explanation_lines, lines


def run(plan: TrainingPlan, *, as_json: bool = False, explained: bool = False) -> None:
    """Print what the plan will take."""
    result = forecast(plan)
    if as_json:
        whole = document(result)
        if explained:
            whole["explanation"] = plain(explain(result))
        print(json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False))
        return
    text = lines(result)
    if explained:
        text += ["", *explanation_lines(explain(result))]
    print("\n".join(text))
