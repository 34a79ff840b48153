"""What proves the figures, and what they do not include."""

from __future__ import annotations

from collections.abc import Iterator

from tonne.ledger.records import Run
from tonne.report.numbers import ENERGY_KWH, MASS_KG
from tonne.report.page.blocks import Block, Cell, Items, Section, Table, Text
from tonne.report.page.language import Words, shown
from tonne.report.page.notes import note_cell
from tonne.report.page.project import SHOWN, cut
from tonne.report.page.quantities import estimate_at
from tonne.report.page.subject import Subject

FIELDS = (
    "tonne_version", "data_version", "python", "platform", "journal_sha256", "journal_lines", "plan_sha256",
    "weights_sha256", "entry_sha256", "source",
)  # fmt: skip


def evidence(subject: Subject, words: Words) -> Section:
    """Hashes, versions, commands and links to other runs."""
    blocks: list[Block] = [Text(text=words.of("evidence.lead"))]
    if subject.is_project:
        blocks.append(_of_all(subject, words))
    else:
        heads = (words.of("facts.what"), words.of("facts.value"))
        rows = tuple((Cell(text=label), cell) for label, cell in _rows(subject.run, words))
        blocks.append(Table(caption=words.of("section.evidence"), heads=heads, rows=rows))
    blocks += _commands(subject, words)
    return Section(key="evidence", title=words.of("section.evidence"), blocks=tuple(blocks))


def _of_all(subject: Subject, words: Words) -> Table:
    """The hashes of a project's runs, a row each."""
    heads = ("facts.run", "evidence.id", "evidence.tonne_version", "evidence.sha256", "evidence.entry_sha256")
    return Table(
        caption=words.of("section.evidence") + cut(len(subject.runs), words),
        heads=tuple(words.of(head) for head in heads),
        rows=tuple(_hashes(run, words) for run in subject.runs[-SHOWN:]),
    )


def _hashes(run: Run, words: Words) -> tuple[Cell, ...]:
    kept, unknown = run.evidence, words.of("unknown.short")
    texts = (run.name, run.id, kept.tonne_version, kept.journal_sha256 or kept.plan_sha256, kept.entry_sha256)
    return tuple(Cell(text=text or unknown) for text in texts)


def _rows(run: Run, words: Words) -> Iterator[tuple[str, Cell]]:
    yield words.of("evidence.id"), Cell(text=run.id)
    for name in FIELDS:
        value = getattr(run.evidence, name)
        if value is None and (name == "source" or name not in expected_of(run)):
            continue
        text = words.of("unknown", why=words.of("why.evidence")) if value is None else str(value)
        yield words.of(f"evidence.{name}"), Cell(text=text)
    for link in run.links:
        yield words.either(f"link.{link.kind}", link.kind), Cell(text=link.to)


def expected_of(run: Run) -> set[str]:
    """The evidence that a run of its kind should have; what is missing of it is said."""
    common = {"tonne_version", "data_version"}
    kinds = {"measured": {"python", "platform", "journal_sha256"}, "forecast": {"plan_sha256"}}
    return common | kinds.get(run.kind, {"source"})


def _commands(subject: Subject, words: Words) -> Iterator[Block]:
    found = list(dict.fromkeys(command for run in subject.runs for command in run.evidence.commands))
    if found:
        yield Text(text=words.of("evidence.commands"))
        yield Items(items=tuple(Cell(text=command, is_code=True) for command in found[:SHOWN]))


def left_out(subject: Subject, words: Words) -> Section:
    """What the figures do not hold, and what is to be said of those that they hold."""
    blocks: list[Block] = [Items(items=tuple(_left_out(subject, words)))]
    blocks += _development(subject, words)
    notes = tuple(dict.fromkeys(note for run in subject.counted for note in (*run.notes, *_account_notes(run))))
    if notes:
        more = words.of("table.cut", rows=SHOWN, all=len(notes)) if len(notes) > SHOWN else ""
        blocks.append(Text(text=words.of("left_out.notes") + more))
        blocks.append(Items(items=tuple(note_cell(note, words) for note in notes[-SHOWN:])))
    return Section(key="left-out", title=words.of("section.left_out"), blocks=tuple(blocks))


def _account_notes(run: Run) -> tuple[str, ...]:
    return () if run.account is None else run.account.notes


def _left_out(subject: Subject, words: Words) -> Iterator[Cell]:
    energy = None if subject.account is None else subject.account.energy
    for part in () if energy is None else energy.left_out:
        name = part.split(" (")[0].removesuffix("_kwh").replace(" ", "_").replace(",", "")
        yield Cell(text=words.either(f"left_out.{name}", part))
    development = subject.account is not None and subject.account.development is not None
    if not subject.is_project and not development and not _says_development(subject):
        yield Cell(text=words.of("left_out.other_runs"))
    yield Cell(text=words.of("left_out.buildings"))
    yield Cell(text=words.of("left_out.use"))
    yield Cell(text=words.of("left_out.offsets"))


def _says_development(subject: Subject) -> bool:
    return subject.account is not None and any("failed runs" in part for part in subject.account.energy.left_out)


def _development(subject: Subject, words: Words) -> Iterator[Block]:
    """The project around a forecast run, where its multiplier was given: beside the run's figures, never in them."""
    energy = estimate_at(subject.account, "development.facility_kwh")
    carbon = estimate_at(subject.account, "development.operational_location_kgco2e")
    if energy is not None:
        text = shown(energy, ENERGY_KWH, words)
        mass = words.of("unknown.short") if carbon is None else shown(carbon, MASS_KG, words).value
        yield Text(text=words.of("left_out.development", value=text.value, interval=text.interval, mass=mass))
