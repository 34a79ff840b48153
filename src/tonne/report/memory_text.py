"""The cross-validation of memory as lines of text."""

from __future__ import annotations

from tonne.report.validation_text import INDENT, aligned
from tonne.validation.memory import MEDIAN_ASKED, P90_ASKED, MemorySlice, MemoryValidation

HEADS = ("", "n", "median", "90th pct", "bias", "source left out", "in 90 % interval", "half-width")
ROW_HEADS = ("", "model", "reading", "read", "estimate", "5 - 95 %", "error", "source left out")
READINGS = (
    "allocated: tensors; reserved: the allocator's blocks; in use: all that the driver shows. Several micro-batch "
    "numbers of one layout are one reading."
)


def lines(validation: MemoryValidation, *, with_rows: bool = False) -> list[str]:
    """Errors by reading and by source; each reading too where asked for."""
    text = [f"Memory of the fullest accelerator, GiB: {'holds' if validation.passed else 'DOES NOT HOLD'}"]
    text.append(f"{INDENT}asked of what was allocated: median {MEDIAN_ASKED:.0%}, 90th percentile {P90_ASKED:.0%}")
    text += [INDENT + line for line in aligned([HEADS, *(_slice(found) for found in validation.slices)])]
    text += ["", "Errors are |estimate / reading - 1|, by a fit without the model read. " + READINGS]
    if with_rows:
        rows = [
            (
                row.id,
                row.model,
                row.quantity,
                f"{row.measured_gib:.2f}",
                f"{row.known_gib:.2f}",
                f"{row.low_gib:.1f} - {row.high_gib:.1f}",
                f"{row.known_gib / row.measured_gib - 1:+.1%}",
                f"{row.unseen_gib / row.measured_gib - 1:+.1%}",
            )
            for row in validation.rows
        ]
        text += ["", *aligned([ROW_HEADS, *rows])]
    return text


def _slice(found: MemorySlice) -> tuple[str, ...]:
    return (
        found.name,
        str(found.n),
        f"{found.median:.1%}",
        f"{found.p90:.1%}",
        f"{found.bias:+.1%}",
        f"{found.unseen_median:.1%} / {found.unseen_p90:.1%}",
        f"{found.coverage:.0%} [{found.coverage_low:.0%}, {found.coverage_high:.0%}]",
        f"{found.half_width:.1%}",
    )
