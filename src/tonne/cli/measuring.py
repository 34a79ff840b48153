"""The commands that measure, and those that take in what others measured."""

from __future__ import annotations

from typing import Annotated

from tonne.cli.groups import Commands, Json  # before typer: it says how help is printed

import typer  # isort: skip

PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}  # to commands that read their options themselves


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of tonne."""
    app.command("run", context_settings=PASSED_ON, add_help_option=False)(run_command)
    app.command("attach", context_settings=PASSED_ON, add_help_option=False)(attach_command)
    app.command()(recover)
    app.add_typer(imports_app, name="import", cls=Commands)


def run_command(words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """A command, measured: tonne run [OPTIONS] -- COMMAND."""
    from tonne.cli.running import main  # noqa: PLC0415 - see the module's docstring

    raise typer.Exit(main(["run", *(words or [])]))


def attach_command(words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """A process that runs already, measured: tonne attach [OPTIONS] PID."""
    from tonne.cli.running import main  # noqa: PLC0415 - see the module's docstring

    raise typer.Exit(main(["attach", *(words or [])]))


def recover(
    run: Annotated[str | None, typer.Argument(metavar="ID", help="Of the run; left out, all of them.")] = None,
    folder: Annotated[str | None, typer.Option(help="Where they lie; left out, below TONNE_HOME.")] = None,
    json: Json = False,
) -> None:
    """Close runs that were cut off; nothing that they wrote is lost."""
    from tonne.cli import runs as command  # noqa: PLC0415 - see the module's docstring

    command.close(run, folder, as_json=json)


imports_app = typer.Typer(
    help="Runs that another tool has measured.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@imports_app.callback()
def _imports() -> None:
    """Runs that another tool has measured."""


@imports_app.command("codecarbon")
def import_codecarbon(
    file: Annotated[str, typer.Argument(help="CSV file that CodeCarbon wrote, such as emissions.csv.")],
    site: Annotated[str | None, typer.Option(help="Where they ran, in place of what the file says.")] = None,
    project: Annotated[str | None, typer.Option(help="What they belong to.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What they were for, e.g. sweep.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word by which to find them; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """CodeCarbon's file as accounts, with intervals; the ledger keeps them."""
    from tonne.cli import imports  # noqa: PLC0415 - see the module's docstring

    labels = imports.Labels(project=project, purpose=purpose, tags=tuple(tag or ()))
    imports.codecarbon(file, site=site, labels=labels, as_json=json)
