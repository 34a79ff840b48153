"""The page of the documentation that validates the time model."""

from __future__ import annotations

from pathlib import Path

from tonne.report import steps_charts, steps_text
from tonne.report.charts import save
from tonne.validation.throughput import StepValidation, validate_steps

CHARTS = ("predicted_against_measured", "errors_by_slice", "coverage_by_slice")
IMAGES = "images"
WORST = 20
TOP = """# Validation of the time model

This page is generated from `step_residuals.csv`, which `make calibrate` writes: every measured step of
`throughput.csv` that says its shape, layout, batch, precision and time, of a chip generation that is fitted. The same
in a terminal: `tonne validate --throughput`; with `--refit` the whole cross-validation is run again, here and now.

- **fitted**: the row itself took part in the fit. This flatters, and nothing is judged by it.
- **known stack**: no row of the same model took part; other models of the same software did.
- **left open**: as a known stack, but of a mixture of experts the plan does not say how tokens reach the experts or
  whether the whole step is one graph: a forecast then takes what is between, and says how much less sure it is.
- **unseen stack**: no row of the same source took part. Megatron's papers, BLOOM, NeMo, Megatron-Bridge and SimuMax all
  run Megatron or what grew out of it, so for these a relative of the stack remains. llm-foundry and fms-fsdp are each
  other's only relatives (FSDP).

Errors are |predicted / measured - 1|, median / 90th percentile. Whether the 90 % interval holds a row is judged with
the half-width that the other models (sources) alone give; the half-width behind the coverage is the one that a forecast
prints.
"""


WORST_ROWS = """Predicted over measured. Most are mixtures of experts whose recipes of 2025 were not found, or
rows that the table cannot tell from others that were measured faster; [what was tried](negative-results.md) lists
such pairs.
"""
SWEEPS = """Published sweeps, each apart. The last three took part in no fit: trials of layouts before BLOOM (attention
heads of 128 features assumed, for the source leaves them out; of trials that the table cannot tell apart, the fastest),
LoRA with its layout printed, and rounds of MLPerf whose layout is not printed and is searched for, in 8 bits. The
trials were run to find out why the machine was slow: their early layouts are farthest off, the one that was chosen
least.
"""


def page(found: StepValidation | None = None) -> str:
    """The page as Markdown; its charts are written by ``write_charts``."""
    found = found or validate_steps()
    parts = [
        TOP,
        "## Errors\n",
        "\n".join(steps_text.markdown(found)),
        "\n".join(steps_text.left_open_lines(found)),
        "\nPredicted against measured, each row by a fit that saw no row of its model:\n",
        f"![Step time, predicted against measured, by source]({IMAGES}/{CHARTS[0]}.svg)",
        f"\n![Error of the step time by slice]({IMAGES}/{CHARTS[1]}.svg)",
        "\n## Coverage\n",
        f"![Coverage of the 90 % interval by slice]({IMAGES}/{CHARTS[2]}.svg)",
        "\n## Sweeps, and rows that no fit saw\n",
        SWEEPS,
        "\n".join(steps_text.sweeps_markdown(found)),
        "\n## Other forecasters\n",
        "The tools were run in November 2026 on a fuller edition of the same table, each on the rows that it can\n"
        "express; what was done to make it express them is in the last column, always in its favour.\n",
        "\n".join(steps_text.peers_markdown(found)),
        "\n## Rows that are farthest off\n",
        WORST_ROWS,
        "\n".join(steps_text.worst_markdown(found, WORST)),
    ]
    return "\n".join(parts) + "\n"


def write_charts(folder: Path, found: StepValidation | None = None) -> None:
    """Write the page's charts as SVG into a folder."""
    found = found or validate_steps()
    for name in CHARTS:
        png, _ = save(getattr(steps_charts, name)(found), folder, name)
        png.unlink()
