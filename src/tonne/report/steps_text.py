"""The cross-validation of the step's time as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tonne.reference.step_residuals import StepResidual
from tonne.report.validation_text import aligned
from tonne.validation.sweeps import Sweep
from tonne.validation.throughput import Slice, StackError, StepValidation, worst

HEADS = ("", "n", "fitted", "known stack", "in 90 % interval", "unseen stack", "in 90 % interval", "asked", "aim", "")
SWEEP_HEADS = ("", "n", "mean", "median / p90", "bias", "predicted by a fit", "")
WORST = 12
LEGEND = (
    "Errors |predicted / measured - 1|, median / 90th percentile. Known stack: fitted without any row of the model.",
    "Unseen stack: fitted without any row of the source. Whether the 90 % interval holds a row is judged with the",
    "half-width that other models (sources) alone give; behind it stands the half-width that a forecast prints.",
)


def lines(found: StepValidation, *, with_rows: bool = False) -> list[str]:
    """Slices, sources, other tools; every row too where asked for, else the worst."""
    text = [f"Step time, {len(found.rows)} measured steps", *LEGEND, ""]
    text += aligned([HEADS, *(_slice(s) for s in found.slices)])
    text += left_open_lines(found)
    text += ["", "By source", *aligned([HEADS[:7], *(_slice(s)[:7] for s in found.sources)])]
    text += [
        "",
        "Published sweeps, and rows that no fit saw",
        *aligned([SWEEP_HEADS, *(_sweep(s) for s in found.sweeps)]),
    ]
    if with_rows:
        text += [line for sweep in found.sweeps for line in ("", sweep.name, *aligned(list(sweep_rows(sweep))))]
    text += ["", "Other tools on such rows (median / 90th percentile, bias)"]
    text += aligned([(p.tool, str(p.n), _pair(p.median, p.p90), f"{p.bias:+.0%}", p.rows) for p in found.peers])
    rows = found.rows if with_rows else worst(found.rows, "known", WORST)
    text += ["", "Rows, predicted over measured" if with_rows else "Worst rows, predicted over measured"]
    return text + aligned([("", "model", "chip", "source", "fitted", "known", "unseen"), *(_row(r) for r in rows)])


def left_open_lines(found: StepValidation) -> list[str]:
    """How mixtures fare when a plan leaves their software open."""
    error = found.left_open
    if error is None:
        return []
    text = "Mixtures forecast without their dispatch and overlap: "
    return ["", f"{text}{_pair(error.median, error.p90)}, in 90 % interval {_coverage(error)}"]


def _sweep(found: Sweep) -> tuple[str, ...]:
    beside = "" if found.peer_mean is None else f"{found.peer}'s own mean: {100 * found.peer_mean:.2f} %"
    mean, bias = f"{100 * found.mean:.1f} %", f"{100 * found.bias:+.1f} %"
    return found.name, str(found.n), mean, _pair(found.median, found.p90), bias, found.seen, beside


def sweep_rows(found: Sweep) -> Iterator[tuple[str, str, str, str, str]]:
    """Rows of a sweep: identifier, what tells it from the others, measured and predicted time, error."""
    for row in found.rows:
        yield row.id, row.label, f"{row.measured_s:.4g} s", f"{row.predicted_s:.4g} s", f"{100 * row.error:+.1f} %"


def _slice(found: Slice) -> tuple[str, ...]:
    verdict = {None: "", True: "holds", False: "DOES NOT HOLD"}[found.holds]
    return (
        found.name,
        str(found.n),
        _pair(found.fitted.median, found.fitted.p90),
        _pair(found.known.median, found.known.p90),
        _coverage(found.known),
        _pair(found.unseen.median, found.unseen.p90),
        _coverage(found.unseen),
        _asked(found.reach),
        _asked(found.aim),
        verdict,
    )


def _asked(pairs: tuple[tuple[float, float], tuple[float, float]] | None) -> str:
    return "" if pairs is None else ", ".join(_pair(*pair, digits=0) for pair in pairs)


def _pair(median: float, p90: float, digits: int = 1) -> str:
    return f"{100 * median:.{digits}f} / {100 * p90:.0f} %"


def _coverage(error: StackError) -> str:
    if error.coverage is None or error.coverage_low is None or error.coverage_high is None:
        return ""
    width = "" if error.half_width is None else f" +-{error.half_width:.0%}"
    return f"{error.coverage:.0%} [{error.coverage_low:.0%}, {error.coverage_high:.0%}]{width}"


def _row(row: StepResidual) -> tuple[str, ...]:
    ratios = (row.fitted_s, row.known_s, row.unseen_s)
    return (
        row.id,
        row.model,
        f"{row.accelerators} {row.family}",
        row.source,
        *(f"{r / row.measured_s:.2f}" for r in ratios),
    )


def markdown(found: StepValidation) -> Iterator[str]:
    """The tables of the page."""
    yield from _table(
        ("slice", "n", "fitted", "known stack", "in 90 % interval", "unseen stack", "in 90 % interval", "asked", "aim"),
        [_slice(s)[:9] for s in found.slices],
    )
    yield ""
    yield from _table(
        ("source", "n", "fitted", "known stack", "in 90 % interval", "unseen stack", "in 90 % interval"),
        [_slice(s)[:7] for s in found.sources],
    )


def sweeps_markdown(found: StepValidation) -> Iterator[str]:
    """The sweeps on the page: one table of all, then one for each."""
    yield from _table(("sweep", *SWEEP_HEADS[1:-1], "beside"), [_sweep(s) for s in found.sweeps])
    for sweep in found.sweeps:
        yield f"\n### {sweep.name}\n"
        yield from _table(("row", "what", "measured", "predicted", "error"), list(sweep_rows(sweep)))


def peers_markdown(found: StepValidation) -> Iterator[str]:
    """The table of the other tools, with how each was run."""
    rows = [(p.tool, p.rows, str(p.n), _pair(p.median, p.p90), f"{p.bias:+.0%}", p.how) for p in found.peers]
    yield from _table(("tool", "rows", "n", "median / 90th percentile", "bias", "how it was run"), rows)


def worst_markdown(found: StepValidation, number: int) -> Iterator[str]:
    """The table of the rows that are farthest off."""
    heads = ("row", "model", "chip", "source", "fitted", "known", "unseen")
    yield from _table(heads, [_row(r) for r in worst(found.rows, "known", number)])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
