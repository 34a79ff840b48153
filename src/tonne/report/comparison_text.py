"""Forecasts and runs beside each other, as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tonne.estimate import Estimate
from tonne.planning.comparison import LETTERS, Comparison, Difference, Pair, Verdict
from tonne.planning.scenario import Scenario
from tonne.report import numbers
from tonne.report.numbers import digits_of, rounded, scale_of, short, value_and_interval
from tonne.report.text import INPUT_WORDS, listed

Units = Sequence[tuple[float, str]]
RATE = ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s"))
PER_TOKEN_J = ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (1e-6, "uJ"))
ROWS: dict[str, tuple[str, Units]] = {
    "duration_s": ("Duration", numbers.TIME_S),
    "accelerator_hours": ("  accelerators", numbers.HOURS),
    "throughput.tokens_per_s": ("Tokens", RATE),
    "energy.it_kwh": ("Energy, IT", numbers.ENERGY_KWH),
    "energy.facility_kwh": ("Energy, facility", numbers.ENERGY_KWH),
    "energy_per_token_j": ("  of a token", PER_TOKEN_J),
    "carbon.operational_location_kgco2e": ("CO2e, grid", numbers.MASS_KG),
    "carbon.operational_market_kgco2e": ("CO2e, market", numbers.MASS_KG),
    "carbon.embodied_kgco2e": ("CO2e, embodied", numbers.MASS_KG),
    "water_l": ("Water", numbers.VOLUME_L),
    "cost_usd": ("Cost", numbers.MONEY_USD),
}
FACTS: dict[str, tuple[str, Units]] = {
    "parameters": ("Parameters", numbers.COUNT),
    "tokens": ("Tokens seen", numbers.COUNT),
    "training_flop": ("Compute", numbers.WORK_FLOP),
    "loss": ("Loss", ((1.0, ""),)),
    "held_out_loss": ("Loss, held out", ((1.0, ""),)),
    "bits_per_byte": ("Bits per byte", ((1.0, ""),)),
}
EVEN_SHARE = 0.005  # a fact that differs by less is printed without its ratio
LABEL, LETTER, VALUE, INTERVAL, CHANGE = 18, 3, 13, 22, 30


def comparison_lines(comparison: Comparison) -> list[str]:
    """The whole answer: who is who, each quantity of each side with its difference from the first, what cancels."""
    sides = comparison.scenarios
    text = [
        f"{'Comparison' if i == 0 else '':<12}{LETTERS[i]}  {one.name}  ({one.kind})" for i, one in enumerate(sides)
    ]
    text += ["", _row("", "", "value", "5 - 95 %", "minus A", "over A")]
    for path, (label, units) in ROWS.items():
        text += _quantity(comparison, path, label, units)
    for name, (label, units) in FACTS.items():
        text += _fact(sides, name, label, units)
    text.append("")
    for letter, pair in _told(comparison.pairs):
        text += [line for title, names in _inputs(pair) for line in listed(f"{title}{letter}", names)]
    return text + [line for note in comparison.notes for line in listed("Note", [note])]


def _quantity(comparison: Comparison, path: str, label: str, units: Units) -> Iterator[str]:
    """A line for each side; none where nobody knows it."""
    estimates = [side.estimate(path) for side in comparison.scenarios]
    if not any(estimates):
        return
    for i, estimate in enumerate(estimates):
        title = label if i == 0 else ""
        if estimate is None:
            yield _row(title, LETTERS[i], "unknown")
            continue
        found = comparison.pairs[i - 1].differences[path] if i else None
        value, interval = value_and_interval(estimate, units)
        changes = ("", "") if found is None else (_change(found.difference, units), _ratio(found))
        yield _row(title, LETTERS[i], value, interval, *changes)


def _change(difference: Estimate, units: Units) -> str:
    """The difference with its interval, in a unit that the largest of the three fills."""
    bounds = (difference.value, difference.low, difference.high)
    if not any(bounds):
        return "0"
    size, unit = scale_of(max(map(abs, bounds)), units)
    digits = digits_of(difference)
    value, low, high = (rounded(bound / size, digits) for bound in bounds)
    sign = "+" if difference.value > 0 else ""
    return f"{sign}{value} {unit}" if difference.is_exact else f"{sign}{value} [{low}, {high}] {unit}"


def _ratio(found: Difference) -> str:
    if found.verdict == Verdict.SAME or found.ratio is None:
        return found.verdict.value
    digits = digits_of(found.ratio)
    value, low, high = (rounded(bound, digits) for bound in (found.ratio.value, found.ratio.low, found.ratio.high))
    text = value if found.ratio.is_exact else f"{value} [{low}, {high}]"
    return f"{found.verdict.value}, {text}" if found.verdict == Verdict.UNCLEAR else text


def _fact(sides: Sequence[Scenario], name: str, label: str, units: Units) -> Iterator[str]:
    """Exact numbers, where not all sides have the same."""
    values = [side.facts.get(name) for side in sides]
    if len({value for value in values if value is not None}) < 2:
        return
    for i, value in enumerate(values):
        text = "unknown" if value is None else short(value, units, 4)
        first = values[0]
        ratio = rounded(value / first, 3) if i and value and first and abs(value / first - 1) > EVEN_SHARE else ""
        yield _row(label if i == 0 else "", LETTERS[i], text, "" if value is None else "exact", "", ratio)


def _told(pairs: Sequence[Pair]) -> Iterator[tuple[str, Pair]]:
    """What to say of each pair; once, where it is the same of all."""
    alike = all((p.shared, p.partly, p.apart) == (pairs[0].shared, pairs[0].partly, pairs[0].apart) for p in pairs)
    for number, pair in enumerate(pairs[:1] if alike else pairs):
        yield ("" if alike else f", {LETTERS[number + 1]}"), pair


def _inputs(pair: Pair) -> Iterator[tuple[str, list[str]]]:
    yield "Cancels", _words(pair.shared)
    yield "In part", _words(pair.partly)
    yield "Apart", _words(pair.apart)


def _words(names: Sequence[str]) -> list[str]:
    return [INPUT_WORDS.get(name, name.replace("_", " ")) for name in names]


def _row(label: str, letter: str, value: str, interval: str = "", change: str = "", ratio: str = "") -> str:
    text = f"  {label:<{LABEL}}{letter:<{LETTER}}{value:<{VALUE - 1}} {interval:<{INTERVAL - 1}} {change:<{CHANGE}}"
    return f"{text.rstrip()}  {ratio}".rstrip() if len(text.rstrip()) >= len(text) else f"{text}{ratio}".rstrip()
