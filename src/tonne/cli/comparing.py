"""The command that compares."""

from __future__ import annotations

from typing import Annotated

from tonne.cli.groups import Json  # before typer: it says how help is printed

import typer  # isort: skip


def add_to(app: typer.Typer) -> None:
    """Add this command to those of tonne."""
    app.command("compare")(compare)


def compare(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="A B ...",
            help="Two to five: runs of the ledger, plan files, documents of tonne forecast --json, or a plan file or "
            "model with options of tonne forecast, in quotes. The first is what others are compared with.",
        ),
    ],
    options: Annotated[
        str, typer.Option("--with", help="Options of tonne forecast for all plans, in quotes, e.g. '--pue 1.2'.")
    ] = "",
    json: Json = False,
) -> None:
    """Forecasts and runs beside each other: paired differences, each with its own interval."""
    from tonne.cli import comparisons  # noqa: PLC0415 - see main's docstring

    comparisons.run(sides, options, as_json=json)
