"""`tonne finetune`: a plan file with a task, trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tonne.cli.training import Options, lines_of, print_ended, trained


def run(config: Path, options: Options) -> int:
    """Fine-tune, and print where the model lies, how good it is and what it took; the exit status."""
    return print_ended(trained("finetune", config, options), options, told)


def told(found: Any) -> list[str]:  # noqa: ANN401 - of a room that loads torch
    """How a run ended, in lines; the best evaluation before the model."""
    ended, model = lines_of(found)
    if found.best is None:
        return [ended, model]
    metrics = "".join(f"; {name} {value:.2f}" for name, value in found.best.metrics.items())
    return [ended, f"best after step {found.best.step:,}: held-out loss {found.best.loss:.4f}{metrics}", model]
