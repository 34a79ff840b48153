"""`tonne train`: a plan file trained here, forecast, measured and kept."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import MissingPackageError
from tonne.measure import environment
from tonne.measure.limits import Limits

PACKAGES = ("torch", "safetensors", "tokenizers")
STOPPED = {"observer": "stopped at a limit", "signal": "stopped by a signal", "patience": "out of patience"}
DETERMINISTIC = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it products on NVIDIA differ from run to run
OVER_BUDGET = 3
SIGNALLED = 128  # and the signal's number, as a shell has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the commands that train have in common, as the user wrote it."""

    output: Path
    max_steps: int | None
    resume: bool
    as_json: bool
    site: str | None = None
    grid: str | None = None
    usd_per_kwh: float | None = None
    max_kwh: float | None = None
    max_kgco2e: float | None = None
    max_cost: float | None = None
    enforce: bool = False
    meter: bool = True
    name: str | None = None
    project: str | None = None
    purpose: str | None = None
    tags: tuple[str, ...] = ()


def home() -> Path:
    """Where tonne keeps what the next command can use again."""
    return Path(environment.home())


def run(config: Path, options: Options) -> int:
    """Pre-train, and print where the model lies and what it took; the exit status."""
    found = trained("train", config, options)
    return print_ended(found, options, lines_of)


def trained(command: str, config: Path, options: Options) -> Any:  # noqa: ANN401 - of a room that loads torch
    """A plan run by the workflow's function of the command's name.

    Raises:
        MissingPackageError: What training needs is not installed.
        TonneError: See the workflow.
    """
    for name, value in DETERMINISTIC.items():
        os.environ.setdefault(name, value)
    try:
        import tonne.train.fitting  # noqa: PLC0415 - the core installs without torch
    except ModuleNotFoundError as missing:
        if missing.name not in PACKAGES:
            raise
        raise MissingPackageError(
            f"tonne {command} needs {missing.name}, which is not installed. Run: pip install 'tonne[train]'"
        ) from None
    from tonne.workflow import running  # noqa: PLC0415 - as above

    session = tonne.train.fitting.Session(home=home())
    return getattr(running, command)(
        config,
        options.output,
        asked=asked_of(command, config, options),
        max_steps=options.max_steps,
        resume=options.resume,
        session=session,
    )


def asked_of(command: str, config: Path, options: Options) -> Any:  # noqa: ANN401 - as above
    """What is asked of the run beside its plan."""
    from tonne.report.trained_text import foretold_lines  # noqa: PLC0415 - only where something is trained
    from tonne.workflow.asked import Asked  # noqa: PLC0415 - as above

    limits = Limits(kwh=options.max_kwh, kgco2e=options.max_kgco2e, usd=options.max_cost)
    return Asked(
        site=options.site or options.grid,
        usd_per_kwh=options.usd_per_kwh,
        limits=limits,
        enforce=options.enforce,
        measured=options.meter,
        name=options.name,
        project=options.project,
        purpose=options.purpose,
        tags=options.tags,
        home=home(),
        commands=(_again(command, config, options),),
        foretold_lines=foretold_lines,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )


def _again(command: str, config: Path, options: Options) -> str:
    """The command that makes the run again."""
    words = ["tonne", command, str(config), "--output", str(options.output)]
    if options.max_steps is not None:
        words += ["--max-steps", str(options.max_steps)]
    place = options.site or options.grid
    return shlex.join([*words, "--site", place] if place else words)


def print_ended(found: Any, options: Options, lines: Callable[[Any], list[str]]) -> int:  # noqa: ANN401 - as above
    """Print how a run ended, in the process that speaks for all; the exit status."""
    from tonne.report.trained_text import ended_lines  # noqa: PLC0415 - as above

    fitted = found.fitted
    if fitted.first and options.as_json:
        print(json.dumps(document_of(found), indent=2, allow_nan=False))
    elif fitted.first:
        print("\n".join([*lines(fitted), *ended_lines(found)]))
    if found.over:
        return OVER_BUDGET
    return 0 if fitted.signal is None else SIGNALLED + int(fitted.signal)


def lines_of(found: Any) -> list[str]:  # noqa: ANN401 - of a room that loads torch
    """How a run ended, in lines."""
    ended = "trained for" if found.stopped_by is None else f"{STOPPED[found.stopped_by]} after"
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
    """How a run ended, as one document; `id`, `account` and `reconciliation` are null where it was not measured."""
    fields = dataclasses.asdict(found.fitted)
    del fields["first"]
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
    run = found.run
    more = {
        "id": None if run is None else run.id,
        "forecast": None if found.foretold is None else plain(found.foretold.account),
        "account": None if found.account is None else plain(found.account),
        "reconciliation": None if found.reconciliation is None else plain(found.reconciliation),
    }
    return {"schema_version": SCHEMA_VERSION, "run": {**shown, **more}}
