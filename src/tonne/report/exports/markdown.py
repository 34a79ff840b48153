"""Text of users within Markdown: shown as it was written, and never read as HTML, a link, a heading or a cell."""

from __future__ import annotations

import html
import re

COMMAND = re.compile(r"(`(?:tonne [^`<>&|]+|project)`)")  # our own words, which are in the same texts
SPECIAL = re.compile(r"[\\`*]|\](?=[(\[])|(?<![^\W_])_|_(?![^\W_])")  # of `_`, those that no word goes on around


def inline(text: str) -> str:
    """A text on one line that Markdown shows as it is, but for commands of ours, which stay code."""
    parts = COMMAND.split(" ".join(text.split()))
    return "".join(part if i % 2 else tagless(SPECIAL.sub(r"\\\g<0>", part)) for i, part in enumerate(parts))


def in_cell(text: str) -> str:
    """As `inline`, in a cell of a table."""
    return inline(text).replace("|", "&#124;")


def tagless(text: str) -> str:
    """Text in which no tag begins, by entities: not every reader of Markdown knows a backslash before them."""
    return html.escape(text, quote=False)
