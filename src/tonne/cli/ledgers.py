"""The commands of the ledger: `tonne runs` and `tonne ledger`. Bodies are in runs.py and ledger_state.py."""

from __future__ import annotations

from typing import Annotated

from tonne.cli.groups import Commands, Json  # before typer: it says how help is printed

import typer  # isort: skip

Id = Annotated[str, typer.Argument(metavar="ID", help="Of the run, or how it begins, or a name that one run has.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Of the runs.")]
Project = Annotated[str | None, typer.Option(help="Only runs that belong to it.")]
Purpose = Annotated[str | None, typer.Option(help="Only runs for this: final, fine-tuning, sweep, ablation ...")]
Status = Annotated[str | None, typer.Option(help="running finished failed stopped interrupted recovered.")]
Kind = Annotated[str | None, typer.Option(help="measured, imported, forecast or all; left out, the first two.")]
Tag = Annotated[list[str] | None, typer.Option(help="Only runs with this tag; may be repeated.")]
Name = Annotated[str | None, typer.Option(help="Only runs of this name; may have stars: 'sweep-*'.")]
Since = Annotated[
    str | None,
    typer.Option(help="Only runs that began since, in UTC, e.g. 2026-11-01, 2026-11-01T08:00+08:00, 7d, 12h."),
]
Until = Annotated[str | None, typer.Option(help="Only runs that began before, as --since.")]
Limit = Annotated[int, typer.Option(min=0, help="How many, the newest; 0: all.")]

runs_app = typer.Typer(
    help="The runs that the ledger knows: listed, shown, tagged, linked, merged, exported, deleted.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
ledger_app = typer.Typer(
    help="The ledger itself: where it is, and whether it is whole.", invoke_without_command=True, rich_markup_mode=None
)


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of tonne."""
    app.add_typer(runs_app, name="runs", cls=Commands)
    app.add_typer(ledger_app, name="ledger", cls=Commands)


@runs_app.callback()
def runs(
    ctx: typer.Context,
    folder: Annotated[str | None, typer.Option(help="Journals below it, in place of the ledger.")] = None,
    project: Project = None,
    purpose: Purpose = None,
    status: Status = None,
    kind: Kind = None,
    tag: Tag = None,
    name: Name = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """The runs that the ledger knows, and those that go on."""
    from tonne.cli import runs as command  # noqa: PLC0415 - see the module's docstring

    asked = command.Asked(
        project=project,
        purpose=purpose,
        status=status,
        kind=kind,
        name=name,
        tags=tuple(tag or ()),
        since=since,
        until=until,
        limit=limit,
    )
    ctx.obj = (folder, asked)
    if ctx.invoked_subcommand is None:
        command.show_all(folder, asked, as_json=json)


@runs_app.command("list")
def list_runs(
    ctx: typer.Context,
    project: Project = None,
    purpose: Purpose = None,
    status: Status = None,
    kind: Kind = None,
    tag: Tag = None,
    name: Name = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """The same list."""
    from tonne.cli import runs as command  # noqa: PLC0415 - see the module's docstring

    asked = command.Asked(
        project=project,
        purpose=purpose,
        status=status,
        kind=kind,
        name=name,
        tags=tuple(tag or ()),
        since=since,
        until=until,
        limit=limit,
    )
    command.show_all(ctx.obj[0], command.both(ctx.obj[1], asked), as_json=json)


@runs_app.command("show")
def show(
    ctx: typer.Context,
    run: Id,
    view: Annotated[str, typer.Option(help="node, job (this job's share of it) or others.")] = "node",
    window: Annotated[str | None, typer.Option(help="Only the windows of this name.")] = None,
    site: Annotated[str | None, typer.Option(help="Grid zone, provider:region or a TOML file.")] = None,
    json: Json = False,
) -> None:
    """One run and its account."""
    from tonne.cli import runs as command  # noqa: PLC0415 - see the module's docstring

    command.show(run, ctx.obj[0], command.Look(view=view, window=window, site=site), as_json=json)


@runs_app.command("totals")
def totals(
    ctx: typer.Context,
    by: Annotated[str | None, typer.Option(help="project, purpose, status, kind or name.")] = None,
    project: Project = None,
    purpose: Purpose = None,
    status: Status = None,
    kind: Kind = None,
    tag: Tag = None,
    name: Name = None,
    since: Since = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """What runs took together; forecasts are left out unless --kind asks for them."""
    from tonne.cli import runs as command  # noqa: PLC0415 - see the module's docstring

    asked = command.Asked(
        project=project,
        purpose=purpose,
        status=status,
        kind=kind,
        name=name,
        tags=tuple(tag or ()),
        since=since,
        until=until,
    )
    command.show_totals(command.both(ctx.obj[1], asked), by, as_json=json)


@runs_app.command("tag")
def tag_run(
    run: Id,
    purpose: Annotated[str | None, typer.Option(help="What it was for: final, sweep, ablation, failed ...")] = None,
    project: Annotated[str | None, typer.Option(help="What it belongs to.")] = None,
    name: Annotated[str | None, typer.Option(help="What it is called from now on.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Add this tag; may be repeated.")] = None,
    untag: Annotated[list[str] | None, typer.Option(help="Take this tag away; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """Say what a run was for and what it belongs to."""
    from tonne.cli import runs_changing as command  # noqa: PLC0415 - see the module's docstring

    said = command.Said(purpose=purpose, project=project, name=name, tags=tuple(tag or ()), untag=tuple(untag or ()))
    command.tag(run, said, as_json=json)


@runs_app.command("link")
def link(
    run: Id,
    kind: Annotated[str, typer.Argument(help="continues, initialised-from, distils or foretold-by.")],
    to: Annotated[str, typer.Argument(help="The other run; it need not be in this ledger.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take this link away.")] = False,
    json: Json = False,
) -> None:
    """Say how a run goes back to another."""
    from tonne.cli import runs_changing as command  # noqa: PLC0415 - see the module's docstring

    if remove:
        command.unlink(run, kind, to, as_json=json)
    else:
        command.link(run, kind, to, as_json=json)


@runs_app.command("merge")
def merge(
    runs: Ids,
    name: Annotated[str | None, typer.Option(help="Of the whole; left out, that of the first part.")] = None,
    json: Json = False,
) -> None:
    """Count several runs as one: parts of one that was cut, or nodes that did not know of one another."""
    from tonne.cli import runs_changing as command  # noqa: PLC0415 - see the module's docstring

    command.merge(runs, name, as_json=json)


@runs_app.command("delete")
def delete(
    run: Id,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    json: Json = False,
) -> None:
    """Take a run out of the ledger; that it was there, and why it went, stays."""
    from tonne.cli import runs_changing as command  # noqa: PLC0415 - see the module's docstring

    command.delete(run, reason, as_json=json)


@runs_app.command("export")
def export(
    ctx: typer.Context,
    format: Annotated[str, typer.Option(help="jsonl (all of each run) or csv (a row each).")] = "jsonl",
    output: Annotated[str | None, typer.Option(help="File; left out, standard output.")] = None,
    project: Project = None,
    purpose: Purpose = None,
    status: Status = None,
    kind: Kind = None,
    tag: Tag = None,
    name: Name = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Runs as lines of JSON or as a table, for other programs."""
    from tonne.cli import runs as command  # noqa: PLC0415 - see the module's docstring

    asked = command.Asked(
        project=project,
        purpose=purpose,
        status=status,
        kind=kind,
        name=name,
        tags=tuple(tag or ()),
        since=since,
        until=until,
        limit=0,
    )
    command.export(command.both(ctx.obj[1], asked), format, output)


@ledger_app.callback()
def ledger(ctx: typer.Context, json: Json = False) -> None:
    """Where the ledger is, what is in it, and what waits for it."""
    if ctx.invoked_subcommand is None:
        from tonne.cli import ledger_state as command  # noqa: PLC0415 - see the module's docstring

        command.show(as_json=json)


@ledger_app.command("verify")
def verify(
    expect: Annotated[str | None, typer.Option(help="Hash of the last entry, as it was noted earlier.")] = None,
    json: Json = False,
) -> None:
    """Whether anything was changed or lost; exit status 4 where it was."""
    from tonne.cli import ledger_state as command  # noqa: PLC0415 - see the module's docstring

    command.verify(expect, as_json=json)


@ledger_app.command("mend")
def mend(json: Json = False) -> None:
    """Make what is listed anew from the chain's entries, where verify says that it was changed."""
    from tonne.cli import ledger_state as command  # noqa: PLC0415 - see the module's docstring

    command.mend(as_json=json)


@ledger_app.command("take-in")
def take_in(
    refused: Annotated[bool, typer.Option("--refused", help="Also try again what was set aside.")] = False,
    json: Json = False,
) -> None:
    """Take in all that waits, also the longest journals."""
    from tonne.cli import ledger_state as command  # noqa: PLC0415 - see the module's docstring

    command.take_in(refused=refused, as_json=json)
