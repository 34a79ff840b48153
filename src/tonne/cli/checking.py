"""The commands that check runs against what rules ask."""

from __future__ import annotations

from typing import Annotated

from tonne.cli.groups import Commands, Json, OwnCalibration  # before typer: it says how help is printed

import typer  # isort: skip

checks_app = typer.Typer(help="Runs beside what rules ask.", no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of tonne."""
    app.add_typer(checks_app, name="check", cls=Commands)


@checks_app.callback()
def _checks() -> None:
    """Runs beside what rules ask."""


@checks_app.command("eu")
def eu(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|PROJECT|PLAN", help="Of the ledger, or a plan file; left out, each project of the ledger."
        ),
    ] = None,
    project: Annotated[str | None, typer.Option(help="Of the ledger: all of its runs.")] = None,
    utilisation: Annotated[
        float | None, typer.Option(help="MFU over all hours, on the dense 16-bit peak, where it was not measured.")
    ] = None,
    fail_over: Annotated[bool, typer.Option("--fail-over", help="Exit 3 where a threshold is reached.")] = False,
    threshold: Annotated[
        list[str] | None, typer.Option(help="That decides: general-purpose, systemic-risk, modification.")
    ] = None,
    own_calibration: OwnCalibration = True,
    json: Json = False,
) -> None:
    """Training compute beside the thresholds of the EU AI Act."""
    from tonne.cli import checks  # noqa: PLC0415 - see main.py

    named = checks.Named(word=subject, project=project, own_runs=own_calibration)
    if checks.eu(named, utilisation, threshold or (), as_json=json, gate=fail_over) and fail_over:
        raise typer.Exit(checks.EXIT_EXCEEDED)
