"""The live line: where a run stands, on standard error; a bar where somebody watches, plain lines where nobody does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

KWH, KG = ((1e3, "MWh"), (1.0, "kWh"), (1e-3, "Wh")), ((1e3, "t CO2e"), (1.0, "kg CO2e"), (1e-3, "g CO2e"))
ENERGIES = (  # so far, of the whole run, and in which units
    ("facility_kwh", "expected_facility_kwh", KWH),
    ("operational_location_kgco2e", "expected_location_kgco2e", KG),
)
SECONDS_A_MINUTE, SECONDS_AN_HOUR, SECONDS_A_DAY = 60, 3600, 86400
REFRESHES_A_SECOND = 4  # each costs a millisecond of the processor that trains
FIRST = ("loss", "bits_per_byte", "tokens_per_s", "mfu")  # of the line, in this order; then whatever observers add


class ProgressLine:
    """One line that follows the run."""

    def __init__(self, total_steps: int, stream: TextIO) -> None:
        """A line for so many steps, to a stream."""
        self._console = Console(file=stream, highlight=False)
        self._live = self._console.is_terminal
        self._total = total_steps
        self._bar = Progress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[columns]}"),
            console=self._console,
            refresh_per_second=REFRESHES_A_SECOND,
        )
        self._task = self._bar.add_task("", total=total_steps, columns="")

    def show(self, step: int, columns: Mapping[str, Any], *, logged: bool) -> None:
        """The columns of a step; where nobody watches, of logged steps alone."""
        text = line_of(columns)
        if self._live:
            self._bar.start()  # with the first step; it stays started
            self._bar.update(self._task, completed=step, columns=text)
        elif logged:
            self._console.print(f"step {step:,}/{self._total:,}  {text}", soft_wrap=True)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        self._console.print(text, soft_wrap=True, markup=False)

    def close(self) -> None:
        """Leave the line as it is."""
        if self._live:
            self._bar.stop()


def line_of(columns: Mapping[str, Any]) -> str:
    """The columns as one line of text; energy and CO2e so far, and of the whole run where its steps say so."""
    known = [_SHOWN[name](columns[name]) for name in FIRST if columns.get(name) is not None]
    known += [text for text in (_of_whole(columns, *names) for names in ENERGIES) if text]
    others = [f"{name} {value:,.4g}" for name, value in columns.items() if name not in _TOLD and _is_number(value)]
    eta = columns.get("eta_s")
    return "  ".join([*known, *([] if eta is None else [f"{duration(eta)} left"]), *others])


def _of_whole(columns: Mapping[str, Any], so_far: str, whole: str, units: tuple[tuple[float, str], ...]) -> str:
    """An amount so far, and of the whole run; nothing where it is not known."""
    taken, expected = columns.get(so_far), columns.get(whole)
    if taken is None:
        return ""
    size, unit = next(((size, unit) for size, unit in units if (expected or taken) >= size), units[-1])
    rest = "" if expected is None else f" of {expected / size:.3g}"
    return f"{taken / size:.3g}{rest} {unit}"


def duration(seconds: float) -> str:
    """A time as people say it: 45 s, 3 min 20 s, 2 h 05 min, 3 d 4 h."""
    whole = round(seconds)
    if whole < SECONDS_A_MINUTE:
        return f"{whole} s"
    if whole < SECONDS_AN_HOUR:
        return f"{whole // SECONDS_A_MINUTE} min {whole % SECONDS_A_MINUTE:02d} s"
    minutes = whole // SECONDS_A_MINUTE
    if whole < SECONDS_A_DAY:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{whole // SECONDS_A_DAY} d {whole % SECONDS_A_DAY // SECONDS_AN_HOUR} h"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SHOWN = {
    "loss": lambda value: f"loss {value:.4f}",
    "bits_per_byte": lambda value: f"{value:.3f} bits/byte",
    "tokens_per_s": lambda value: f"{value:,.0f} tokens/s",
    "mfu": lambda value: f"MFU {100 * value:.1f} %",
}
_TOLD = {
    *FIRST,
    *(name for names in ENERGIES for name in names[:2]),
    "step",
    "eta_s",
    "tokens",
    "seen_tokens",
    "elapsed_s",
    "learning_rate",
    "gradient_norm",
    "token_loss",
    "sentence_loss",
}
