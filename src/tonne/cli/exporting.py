"""The commands that put runs into the forms that others ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tonne.cli.groups import Json, OwnCalibration  # before typer: it says how help is printed

import typer  # isort: skip

Subject = Annotated[
    str | None, typer.Argument(metavar="RUN|PROJECT|PLAN", help="A run of the ledger, a project, or a plan file.")
]
Project = Annotated[str | None, typer.Option(help="Of the ledger: all of its runs.")]
Since = Annotated[
    str | None, typer.Option(help="Only runs of a project that began since, in UTC, e.g. 2026-01-01, 7d.")
]
Until = Annotated[str | None, typer.Option(help="Only runs of a project that began before, as --since.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of tonne."""
    app.command("export")(export)
    app.command("lens")(lens)


def export(
    subject: Subject = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="eu-form model-card hugging-face latex neurips climate-card sci ghg codecarbon boamps csv json.",
        ),
    ] = None,
    project: Project = None,
    since: Since = None,
    until: Until = None,
    lens: Annotated[str | None, typer.Option(help="What is counted, where the format leaves it open.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file; left out, it is printed.")] = None,
    organisation: Annotated[str | None, typer.Option(help="Who reports.")] = None,
    contact: Annotated[str | None, typer.Option(help="Whom to ask.")] = None,
    control: Annotated[str | None, typer.Option(help="Whose hardware: owned, cloud or colo.")] = None,
    cloud_provider: Annotated[str | None, typer.Option(help="Whose cloud.")] = None,
    model_version: Annotated[str | None, typer.Option(help="Of the model.")] = None,
    released: Annotated[str | None, typer.Option(help="When the model was released.")] = None,
    own_calibration: OwnCalibration = True,
    json: Json = False,
) -> None:
    """A run, project or plan in a form that others ask for."""
    from tonne.cli import exports as command  # noqa: PLC0415 - see main.py

    declared = command.Declared(
        organisation=organisation,
        contact=contact,
        control=control,
        cloud_provider=cloud_provider,
        version=model_version,
        released=released,
    )
    named = command.Named(word=subject, project=project, since=since, until=until, own_runs=own_calibration)
    command.export(named, command.Form(name=format, lens=lens, output=output, as_json=json), declared)


def lens(
    name: Annotated[str | None, typer.Argument(metavar="LENS", help="Left out, all are listed.")] = None,
    subject: Subject = None,
    project: Project = None,
    since: Since = None,
    until: Until = None,
    own_calibration: OwnCalibration = True,
    json: Json = False,
) -> None:
    """What a rule counts of runs, what it does not, and why."""
    from tonne.cli import exports as command  # noqa: PLC0415 - see main.py

    named = command.Named(word=subject, project=project, since=since, until=until, own_runs=own_calibration)
    command.show_lens(name, named, as_json=json)
