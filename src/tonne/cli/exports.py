"""`tonne export` and `tonne lens`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tonne.cli.subjects import Named, before, by_project, runs_of
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import DescriptionError
from tonne.ledger.lenses import lens_named, lenses, view
from tonne.report.exports.formats import FORMATS, exported
from tonne.report.exports.forms import Export
from tonne.report.exports.subject import Declared, Subject
from tonne.report.lens_text import catalogue_lines, lens_lines

__all__ = ["Declared", "Form", "Named", "export", "show_lens"]

OF_ANY = ("csv", "json", "codecarbon", "ghg")  # rows a run, or an inventory of all that there is
FEW = 5  # projects that an error names


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is wanted: a format, what is counted, where it goes, and whether as one document with its fields apart."""

    name: str | None
    lens: str | None = None
    output: Path | None = None
    as_json: bool = False


def export(named: Named, form: Form, declared: Declared) -> None:
    """Print what was asked for, or write it to a file; what is missing is told on stderr.

    Raises:
        DescriptionError: The format, the lens or a declaration is none, or a form of one model is asked for of several
            projects.
    """
    if form.name is None:
        raise DescriptionError(f"--as is missing. Say which form, one of {', '.join(FORMATS)}.")
    name, runs = runs_of(named)
    projects = by_project(runs)
    if named.names_all and len(projects) > 1 and form.name not in OF_ANY:
        raise DescriptionError(
            f"{form.name} is of one model, and the ledger holds runs of {len(projects)} projects: "
            f"{', '.join(list(projects)[:FEW])}. Name a run or a project."
        )
    found = exported(Subject(name=name, runs=runs, declared=declared, lens=form.lens, before=before(runs)), form.name)
    text = _document(form.name, name, found) if form.as_json else found.text
    if form.output is None:
        sys.stdout.write(text)
    else:
        _write(form.output, text)
    if form.output is not None or not (found.says_so or form.as_json):  # else the text that was just printed says it
        _tell(found)


def _document(format_name: str, name: str, found: Export) -> str:
    """The text, its fields one by one, and what is missing, as one document."""
    fields = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "format": format_name,
        "text": found.text,
        "fields": plain(found.cells),
        "missing": list(found.missing),
        "notes": list(found.notes),
    }
    return json.dumps(fields, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise DescriptionError(f"{output} cannot be written: {error.strerror}. Give another --output.") from None


def _tell(found: Export) -> None:
    for text in found.missing:
        print(f"missing: {text}", file=sys.stderr)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)


def show_lens(name: str | None, named: Named, *, as_json: bool) -> None:
    """Print the lenses, or what one of them counts."""
    if name is None:
        catalogue = {key: {"title": one.title, "version": one.version} for key, one in lenses().items()}
        text = json.dumps({"schema_version": SCHEMA_VERSION, "lenses": catalogue}, indent=2, ensure_ascii=False)
        print(text if as_json else "\n".join(catalogue_lines(lenses())))
        return
    lens = lens_named(name)
    title, runs = runs_of(named)
    seen = view(lens, runs, before(runs))
    if as_json:
        document = {"schema_version": SCHEMA_VERSION, "name": title, "lens": plain(seen)}
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n".join(lens_lines(seen, title)))
