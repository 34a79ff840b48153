"""Results as HTML for notebooks and as tables for terminals. Results find this file by name: see `tonne.showing`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from tonne.report.faces import Face, FaceRow, face_of

if TYPE_CHECKING:
    from rich.console import Group

UNKNOWN = "unknown"
# Colours are those of the page around it, light or dark: lines and quiet text are the text's own colour, thinned.
STYLE = """
.tonne-result{color:inherit;font-size:13px;line-height:1.45;max-width:60em}
.tonne-result table{border-collapse:collapse;color:inherit;background:none;margin:.3em 0}
.tonne-result caption{text-align:left;font-weight:600;color:inherit;padding:0 0 .3em}
.tonne-result caption span{display:block;font-weight:400}
.tonne-result th,.tonne-result td{text-align:left;padding:.15em 1.2em .15em 0;border:0;background:none}
.tonne-result th,.tonne-result td{vertical-align:top}
.tonne-result thead th{font-weight:400;border-bottom:1px solid currentColor}
.tonne-result tbody th{font-weight:400;white-space:nowrap}
.tonne-result td.value{font-weight:600}
.tonne-result td.value,.tonne-result td.interval{white-space:nowrap}
.tonne-result td{font-variant-numeric:tabular-nums}
.tonne-result summary{cursor:pointer}
.tonne-result ul{margin:.2em 0 0;padding-left:1.2em}
"""


def html_of(result: Any) -> str:  # noqa: ANN401 - whatever has a face
    """A result as one HTML element: all text escaped, no script, nothing loaded."""
    face = face_of(result)
    heads = "".join(f'<th scope="col">{escape(heading)}</th>' for _, heading in (("", "quantity"), *face.columns))
    rows = "".join(_html_row(row, face) for row in face.rows)
    caption = f"<caption>{escape(face.title)}<span>{escape(face.subtitle)}</span></caption>"
    table = f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="tonne-result"><style>{STYLE}</style>{table}{_html_notes(face)}</div>'


def _html_row(row: FaceRow, face: Face) -> str:
    head = f'<th scope="row">{escape(row.label)}</th>'
    if row.why:
        told = [name for name, _ in face.columns if name != "forecast"]
        last = f"<td>{escape(row.forecast)}</td>" if len(told) < len(face.columns) else ""
        return f'<tr>{head}<td colspan="{len(told)}">{UNKNOWN}: {escape(row.why)}</td>{last}</tr>'
    cells = "".join(f'<td class="{name}">{escape(getattr(row, name))}</td>' for name, _ in face.columns)
    return f"<tr>{head}{cells}</tr>"


def _html_notes(face: Face) -> str:
    if not face.notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in face.notes)
    return f"<details><summary>Notes ({len(face.notes)})</summary><ul>{items}</ul></details>"


def rich_of(result: Any) -> Group:  # noqa: ANN401 - as above
    """A result as what rich can print; nothing in its names is read as markup."""
    from rich.console import Group  # noqa: PLC0415 - only where a terminal is drawn for
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    face = face_of(result)
    title = Text.assemble((face.title, "bold"), "\n", face.subtitle)
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False)
    for heading in ("", *(heading for _, heading in face.columns)):
        table.add_column(heading, overflow="fold", no_wrap=not heading)  # nothing is cut off
    for row in face.rows:
        cells = [
            f"{UNKNOWN}: {row.why}" if row.why and name == "value" else getattr(row, name) for name, _ in face.columns
        ]
        table.add_row(Text(row.label), *(Text(cell) for cell in cells))
    notes = [Text(f"Note  {note}", style="dim") for note in face.notes]
    return Group(title, table, *notes)
