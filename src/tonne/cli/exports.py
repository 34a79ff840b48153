"""`tonne export` and `tonne lens`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tonne.cli.subjects import Named, runs_of
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import DescriptionError
from tonne.ledger.lenses import lens_named, lenses, view
from tonne.report.exports.formats import FORMATS, exported
from tonne.report.exports.forms import Export
from tonne.report.exports.subject import Declared, Subject
from tonne.report.lens_text import catalogue_lines, lens_lines

__all__ = ["Declared", "Named", "export", "show_lens"]


def export(named: Named, format_name: str | None, *, lens: str | None, declared: Declared, output: Path | None) -> None:
    """Print what was asked for, or write it to a file; what is missing is told on stderr."""
    if format_name is None:
        raise DescriptionError(f"--as is missing. Say which form, one of {', '.join(FORMATS)}.")
    name, runs = runs_of(named)
    found = exported(Subject(name=name, runs=runs, declared=declared, lens=lens), format_name)
    if output is None:
        sys.stdout.write(found.text)
    else:
        _write(output, found.text)
    if output is not None or not found.says_so:  # else the text that was just printed says it
        _tell(found)


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
    seen = view(lens, runs)
    if as_json:
        document = {"schema_version": SCHEMA_VERSION, "name": title, "lens": plain(seen)}
        print(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n".join(lens_lines(seen, title)))
