"""`tonne train`: a plan file trained here."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from tonne.describe.recipe import Recipe
from tonne.errors import MissingPackageError

HOME_VARIABLE = "TONNE_HOME"
SCHEMA_VERSION = "1"
STORES = "data"
PACKAGES = ("torch", "safetensors", "tokenizers")
DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it products on NVIDIA differ from run to run


def home() -> Path:
    """Where tonne keeps what the next command can use again."""
    return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".tonne")


def run(config: Path, *, output: Path, max_steps: int | None, resume: bool, as_json: bool) -> None:
    """Train, and print where the model lies."""
    recipe = Recipe.from_toml(config)
    for name, value in DETERMINISTIC.items():
        os.environ.setdefault(name, value)
    try:
        from tonne.train.fitting import Session, fit  # noqa: PLC0415 - the core installs without torch
        from tonne.train.job import job_of, store_folder  # noqa: PLC0415 - as above
    except ModuleNotFoundError as missing:
        if missing.name not in PACKAGES:
            raise
        raise MissingPackageError(
            f"tonne train needs {missing.name}, which is not installed. Run: pip install 'tonne[train]'"
        ) from None
    job = job_of(recipe, store_folder(recipe, home() / STORES))
    found = fit(job, output, max_steps=max_steps, resume=resume, session=Session(home=home()))
    if not found.first:
        return
    print("\n".join(lines_of(found)) if not as_json else json.dumps(document_of(found), indent=2, allow_nan=False))


def lines_of(found: Any) -> list[str]:  # noqa: ANN401 - of a room that loads torch
    """How a run ended, in lines."""
    ended = f"stopped by {found.stopped_by} after" if found.stopped_by else "trained for"
    losses = [] if found.loss is None else [f"last loss {found.loss:.4f}"]
    if found.validation is not None:
        losses.append(f"held-out loss {found.validation.loss:.4f}")
        if found.validation.bits_per_byte is not None:
            losses.append(f"{found.validation.bits_per_byte:.3f} bits per byte")
    return [
        f"{ended} {found.steps:,} steps, {found.tokens:,} tokens, {found.elapsed_s:,.0f} s"
        + "".join(f"; {loss}" for loss in losses),
        f"model: {found.model}",
    ]


def document_of(found: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """How a run ended, as one document."""
    fields = dataclasses.asdict(found)
    del fields["first"]
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
    return {"schema_version": SCHEMA_VERSION, "run": plain}
