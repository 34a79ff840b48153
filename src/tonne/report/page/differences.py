"""Why what was measured differs from what was forecast: factors whose product is the whole difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tonne.errors import TonneError
from tonne.estimate import Estimate
from tonne.ledger.records import Run
from tonne.reconcile import Comparison, Factor, reconciled_run
from tonne.report.numbers import rounded
from tonne.report.page.blocks import Block, Cell, Picture, Table, Text
from tonne.report.page.language import Words, change, pretty
from tonne.report.page.palette import CHANGE
from tonne.report.page.pictures import Bar, bars_chart
from tonne.report.page.quantities import CARBON, ENERGY

EXPLAINED = (CARBON.path, ENERGY.path, "duration_s")  # the first that both sides know: the others' factors are in it
LABELS = 148
LEAST = 0.0005  # of a ratio: printed as no change
UNITS = (("flop_per_s", "FLOP/s"), ("gco2e_per_kwh", "g/kWh"), ("gco2e_per_hour", "g/h"), ("l_per_kwh", "L/kWh"),
         ("usd_per_kwh", "USD/kWh"), ("usd_per_hour", "USD/h"), ("_w", "W"), ("s_per_step", "s"))  # fmt: skip


def differences(run: Run, words: Words) -> Iterator[Block]:
    """The factors of the figure that holds most of the others; nothing where the two cannot be reconciled."""
    try:
        found = reconciled_run(run)
    except TonneError:
        return  # the run goes on, or a side knows too little: the table above says what is known
    compared = {one.quantity: one for one in found.comparisons}
    explained = next((compared[path] for path in EXPLAINED if path in compared and compared[path].factors), None)
    if explained is None or explained.ratio is None:
        return
    quantity, whole = words.of(f"quantity.{explained.quantity}"), change(explained.ratio.value - 1)
    bars = [
        Bar(name=name_of(factor, words), value=100 * (factor.ratio.value - 1), text=change(factor.ratio.value - 1))
        for factor in explained.factors
        if abs(factor.ratio.value - 1) >= LEAST
    ]
    if not bars:
        yield Text(text=words.of("differences.none", quantity=quantity))
        return
    yield Picture(
        key="why-it-differs",
        title=words.of("differences.title", quantity=quantity, change=whole),
        description=words.of("differences.description", items=words.listed([f"{bar.name} {bar.text}" for bar in bars])),
        chart=lambda: bars_chart(bars, words.of("chart.factor"), colour=CHANGE, labels=LABELS),
        table=_table(explained, words),
    )
    if found.after_the_fact:
        yield Text(text=words.of("differences.after"))


def name_of(factor: Factor, words: Words) -> str:
    """What a factor stands for; of several that cannot be told apart, all of them."""
    return " × ".join(words.either(f"factor.{name}", name) for name in factor.names)


def _table(explained: Comparison, words: Words) -> Table:
    heads = ("differences.factor", "chart.forecast", "chart.measured", "differences.times", "table.interval")
    return Table(
        caption=words.of("differences.caption"),
        heads=tuple(words.of(head) for head in heads),
        rows=tuple(_row(factor, words) for factor in explained.factors),
        numeric=frozenset({1, 2, 3, 4}),
    )


def _row(factor: Factor, words: Words) -> tuple[Cell, ...]:
    ratio = factor.ratio
    interval = words.of("interval.exact")
    if not ratio.is_exact:
        interval = words.of("interval.plain", low=rounded(ratio.low, 3), high=rounded(ratio.high, 3))
    texts = (name_of(factor, words), _side(factor.forecast, factor.names, words),
             _side(factor.measured, factor.names, words), f"× {rounded(ratio.value, 3)}", interval)  # fmt: skip
    return tuple(Cell(text=text) for text in texts)


def _side(estimate: Estimate | None, names: Sequence[str], words: Words) -> str:
    """The number itself on one side; several that are joined have none."""
    if estimate is None:
        return words.of("differences.joined") if len(names) > 1 else words.of("unknown.short")
    unit = next((unit for suffix, unit in UNITS if names[0].endswith(suffix)), "")
    return f"{pretty(rounded(estimate.value, 3))} {words.unit(unit)}".rstrip()
