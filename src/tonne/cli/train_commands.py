"""The commands that train: they forecast themselves, measure what they take, and keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from tonne.cli.groups import Json  # before typer: it says how help is printed

import typer  # isort: skip

Output = Annotated[Path, typer.Option(help="Folder of the run: metrics.jsonl, checkpoints, best, model.")]
MaxSteps = Annotated[int | None, typer.Option(min=1, help="Last step to make; the schedule stays.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")]
Site = Annotated[str | None, typer.Option(help="Grid zone, provider:region or a TOML file; else the plan's [site].")]
Grid = Annotated[str | None, typer.Option(help="Grid zone, e.g. FR.")]
Price = Annotated[float | None, typer.Option(help="Price of electricity.", min=0)]
MaxKwh = Annotated[float | None, typer.Option(help="Warn beyond this energy.", min=0)]
MaxKgCo2e = Annotated[float | None, typer.Option(help="Warn beyond these emissions; needs a place.", min=0)]
MaxCost = Annotated[float | None, typer.Option(help="Warn beyond this price of electricity [USD].", min=0)]
Enforce = Annotated[bool, typer.Option("--enforce", help="At a limit save the run and stop it; exit status 3.")]
Meter = Annotated[bool, typer.Option("--meter/--no-meter", help="Read sensors, and keep the run in the ledger.")]
Name = Annotated[str | None, typer.Option(help="What the run is called; left out, as the plan.")]
Project = Annotated[str | None, typer.Option(help="That the run belongs to.")]
Purpose = Annotated[str | None, typer.Option(help="final, fine-tuning, sweep, ablation, failed, teacher, ...")]
Tag = Annotated[list[str] | None, typer.Option(help="A free word; may be repeated.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of tonne."""
    app.command()(train)
    app.command()(finetune)


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A plan file (TOML).")],
    output: Output,
    max_steps: MaxSteps = None,
    resume: Resume = False,
    site: Site = None,
    grid: Grid = None,
    usd_per_kwh: Price = None,
    max_kwh: MaxKwh = None,
    max_kgco2e: MaxKgCo2e = None,
    max_cost: MaxCost = None,
    enforce: Enforce = False,
    meter: Meter = True,
    name: Name = None,
    project: Project = None,
    purpose: Purpose = None,
    tag: Tag = None,
    json: Json = False,
) -> None:
    """Pre-train a transformer: forecast before the first step, measured to the last."""
    from tonne.cli import training  # noqa: PLC0415 - commands load what they need when they are called

    raise typer.Exit(training.run(config, _options(locals())))


def finetune(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A plan file (TOML) with a [task].")],
    output: Output,
    max_steps: MaxSteps = None,
    resume: Resume = False,
    site: Site = None,
    grid: Grid = None,
    usd_per_kwh: Price = None,
    max_kwh: MaxKwh = None,
    max_kgco2e: MaxKgCo2e = None,
    max_cost: MaxCost = None,
    enforce: Enforce = False,
    meter: Meter = True,
    name: Name = None,
    project: Project = None,
    purpose: Purpose = None,
    tag: Tag = None,
    json: Json = False,
) -> None:
    """Teach a pre-trained transformer a task: forecast before the first step, measured to the last."""
    from tonne.cli import finetuning  # noqa: PLC0415 - as above

    raise typer.Exit(finetuning.run(config, _options(locals())))


def _options(given: dict[str, Any]) -> Any:  # noqa: ANN401 - of a module that is loaded late
    """The options of a command by their names."""
    from tonne.cli.training import Options  # noqa: PLC0415 - as above
    from tonne.errors import DescriptionError  # noqa: PLC0415 - as above

    if given["site"] and given["grid"]:
        raise DescriptionError("--site and --grid each name a place. Give one of them.")
    known = {name: value for name, value in given.items() if name in Options.__dataclass_fields__}
    return Options(**known, as_json=given["json"], tags=tuple(given["tag"] or ()))
