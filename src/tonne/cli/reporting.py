"""The command that reports: a run, a project, or a plan."""

from __future__ import annotations

from typing import Annotated

from tonne.cli.groups import OwnCalibration  # before typer: it says how help is printed

import typer  # isort: skip


def add_to(app: typer.Typer) -> None:
    """Add the command to those of tonne."""
    app.command()(report)


def report(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RUN|PROJECT|PLAN", help="A run or a project of the ledger, a plan file, or a document."
        ),
    ],
    format: Annotated[
        str | None, typer.Option(help="html md json csv pdf; left out, by the output's suffix, else html.")
    ] = None,
    lang: Annotated[str, typer.Option(help="en or zh.")] = "en",
    output: Annotated[str | None, typer.Option(help="File to write; left out, standard output.")] = None,
    charts: Annotated[str | None, typer.Option(help="Folder for the charts as SVG and PNG files, too.")] = None,
    own_calibration: OwnCalibration = True,
) -> None:
    """What was or will be used, where it went, how it was reached and what proves it: one page to print or publish."""
    from tonne.cli import reports  # noqa: PLC0415 - see the module's docstring

    asked = reports.Asked(format=format, language=lang, output=output, charts=charts, own_runs=own_calibration)
    reports.run(subject, asked)
