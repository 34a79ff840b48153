"""`tonne finetune`: a plan file with a task, trained here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tonne.cli.training import DETERMINISTIC, PACKAGES, document_of, home, lines_of
from tonne.describe.finetuning import FinetuningRecipe
from tonne.errors import MissingPackageError


def run(config: Path, *, output: Path, max_steps: int | None, resume: bool, as_json: bool) -> None:
    """Fine-tune, and print where the model lies and how good it is."""
    recipe = FinetuningRecipe.from_toml(config)
    for name, value in DETERMINISTIC.items():
        os.environ.setdefault(name, value)
    try:
        from tonne.train.finetuning import finetune  # noqa: PLC0415 - the core installs without torch
        from tonne.train.fitting import Session  # noqa: PLC0415 - as above
    except ModuleNotFoundError as missing:
        if missing.name not in PACKAGES:
            raise
        raise MissingPackageError(
            f"tonne finetune needs {missing.name}, which is not installed. Run: pip install 'tonne[train]'"
        ) from None
    found = finetune(recipe, output, max_steps=max_steps, resume=resume, session=Session(home=home()))
    if not found.first:
        return
    print("\n".join(told(found)) if not as_json else json.dumps(document_of(found), indent=2, allow_nan=False))


def told(found: Any) -> list[str]:  # noqa: ANN401 - of a room that loads torch
    """How a run ended, in lines; the best evaluation before the model."""
    ended, model = lines_of(found)
    if found.best is None:
        return [ended, model]
    metrics = "".join(f"; {name} {value:.2f}" for name, value in found.best.metrics.items())
    return [ended, f"best after step {found.best.step:,}: held-out loss {found.best.loss:.4f}{metrics}", model]
