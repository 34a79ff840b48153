"""What a reconciliation says: of each quantity both numbers, their ratio, a verdict, and the factors of the ratio."""

from __future__ import annotations

from dataclasses import dataclass

from tonne.errors import UnknownReferenceError
from tonne.estimate import Estimate

INSIDE, ABOVE, BELOW, UNKNOWN = "inside", "above", "below", "unknown"
VERDICTS = (INSIDE, ABOVE, BELOW, UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One of the factors whose product is what was measured over what was forecast.

    ``names``: what it stands for, the unit in the name; several where a number between them is unknown on one side, so
    that they cannot be told apart (``joined_because`` says which). ``ratio``: by what it multiplies. ``forecast`` and
    ``measured``: the number itself on each side; None of joined ones. A faster step, a better goodput and more
    accelerators make a run shorter: their ratio is that of the time, forecast over measured. ``share`` is the factor's
    share of the logarithm of the whole ratio: negative where it went the other way, None where nothing differs.
    """

    names: tuple[str, ...]
    ratio: Estimate
    forecast: Estimate | None = None
    measured: Estimate | None = None
    share: float | None = None
    joined_because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One quantity, by its path in the Account, forecast and measured.

    ``verdict`` says on which side of the forecast's 90 % interval the measured value lies; ``sure``, whether all of the
    measurement's own interval lies there. ``ratio`` is measured over forecast, ``difference`` measured less forecast;
    an input that is the same number on both sides, such as a PUE, spreads neither. ``why`` says what is missing.
    """

    quantity: str
    forecast: Estimate | None
    measured: Estimate | None
    difference: Estimate | None
    ratio: Estimate | None
    verdict: str
    sure: bool | None
    why: str | None
    factors: tuple[Factor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """A forecast and a measurement of the same run, compared.

    ``after_the_fact``: the forecast was made when the run had begun, so that it foretold nothing.
    """

    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()
    after_the_fact: bool = False

    def of(self, quantity: str) -> Comparison:
        """The comparison of a quantity.

        Raises:
            UnknownReferenceError: It is none of those that are compared.
        """
        found = next((one for one in self.comparisons if one.quantity == quantity), None)
        if found is None:
            known = ", ".join(one.quantity for one in self.comparisons)
            raise UnknownReferenceError(f"{quantity!r} is not compared. Known: {known}. Use one of these.")
        return found
