"""The commands that compare forecasts with what was measured, and those of the calibration that follows from it."""

from __future__ import annotations

from typing import Annotated

from tonne.cli.groups import Commands, Json  # before typer: it says how help is printed

import typer  # isort: skip


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of tonne."""
    app.command()(reconcile)
    app.add_typer(calibration_app, name="calibration", cls=Commands)


def reconcile(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Id or name; left out, how often all forecasts held."),
    ] = None,
    forecast: Annotated[
        str | None, typer.Option(help="Forecast's id, or a plan file (TOML), in place of what the run carries.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate/--no-calibrate", help="Keep the run for further forecasts of its stack.")
    ] = True,
    json: Json = False,
) -> None:
    """What was forecast for a run beside what it took, and why they differ."""
    from tonne.cli import reconcile as command  # noqa: PLC0415 - only who asks pays for it

    if run is None:
        command.show_coverage(as_json=json)
    else:
        command.run(run, forecast=forecast, calibrate=calibrate, as_json=json)


calibration_app = typer.Typer(
    help="Own measured runs that forecasts of their stacks use.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@calibration_app.callback()
def calibration(ctx: typer.Context, json: Json = False) -> None:
    """Own measured runs that forecasts of their stacks use."""
    if ctx.invoked_subcommand is None:
        from tonne.cli import reconcile as command  # noqa: PLC0415 - as above

        command.show_calibration(as_json=json)


@calibration_app.command("delete")
def delete(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id, as `tonne calibration` lists it.")],
) -> None:
    """Take a run out: forecasts no longer use it."""
    from tonne.cli import reconcile as command  # noqa: PLC0415 - as above

    command.delete(run)
