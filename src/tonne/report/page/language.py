"""The words of reports, from one catalogue a language, and numbers written with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from tonne.errors import DescriptionError
from tonne.estimate import Estimate
from tonne.report.numbers import COUNT, digits_of, rounded, scale_of
from tonne.report.page.quantities import HOURS, MONEY_USD, RATE, Units

LANGUAGES = ("en", "zh")
CATALOGUE_VERSION = "1"
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
PRETTY = {"m3": "m³"}
MYRIADS: dict[tuple[tuple[float, str], ...], Units] = {  # Chinese counts by ten thousands: 410 万, not 4.1 million
    HOURS: ((1e8, "亿小时"), (1e4, "万小时"), (1.0, "h")),
    MONEY_USD: ((1e8, "亿美元"), (1e4, "万美元"), (1.0, "USD")),
    COUNT: ((1e12, "万亿"), (1e8, "亿"), (1e4, "万"), (1.0, "")),
    RATE: ((1e8, "亿/秒"), (1e4, "万/秒"), (1.0, "/s")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language's catalogue."""

    language: str
    texts: dict[str, str]

    def of(self, key: str, /, **values: object) -> str:
        """The text of a key, its blanks filled in.

        Raises:
            KeyError: The catalogue lacks the key; our own mistake.
        """
        return self.texts[key].format(**values)

    def either(self, key: str, /, otherwise: str) -> str:
        """The text of a key where the catalogue has it."""
        return self.texts.get(key, otherwise)

    def basis(self, basis: str) -> str:
        """What a number rests on."""
        return self.of(f"basis.{basis}")

    def unit(self, unit: str) -> str:
        """A unit as this language writes it; symbols stay."""
        return self.texts.get(f"unit.{unit}", PRETTY.get(unit, unit))

    def scale(self, units: Units) -> Units:
        """Units of a quantity as this language counts."""
        return MYRIADS.get(tuple(units), units) if self.language == "zh" else units

    def scaled(self, value: float, units: Units) -> tuple[float, str]:
        """The size and the name of the unit that the value fills."""
        size, unit = scale_of(value, self.scale(units))
        return size, self.unit(unit)

    def listed(self, items: list[str]) -> str:
        """Items in a sentence."""
        return self.texts["list.comma"].join(items)


@lru_cache
def words_of(language: str) -> Words:
    """The catalogue of a language.

    Raises:
        DescriptionError: There is none.
    """
    if language not in LANGUAGES:
        raise DescriptionError(f"--lang {language!r} is no language of reports. Use {' or '.join(LANGUAGES)}.")
    text = (files("tonne.report.page") / "words" / f"{language}.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert found["version"] == CATALOGUE_VERSION
    return Words(language=language, texts=found["texts"])


def pretty(number: str) -> str:
    """A number of `rounded` as people write powers of ten."""
    mantissa, has_power, power = number.partition("e")
    return f"{mantissa} × 10{str(int(power)).translate(SUPERSCRIPTS)}" if has_power else number


def number_text(value: float, units: Units, words: Words, digits: int = 3) -> str:
    """A plain number in a readable unit."""
    size, unit = words.scaled(value, units)
    return f"{pretty(rounded(value / size, digits))} {unit}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An estimate as text: value with unit, and interval in the same unit."""

    value: str
    interval: str


def shown(estimate: Estimate, units: Units, words: Words) -> Shown:
    """As many digits as the interval allows; "exact" where it has no width."""
    size, unit = words.scaled(estimate.value, units)
    digits = digits_of(estimate)
    value = f"{pretty(rounded(estimate.value / size, digits))} {unit}".rstrip()
    if estimate.is_exact:
        return Shown(value=value, interval=words.of("interval.exact"))
    low, high = (pretty(rounded(bound / size, digits)) for bound in (estimate.low, estimate.high))
    return Shown(value=value, interval=words.of("interval.between", low=low, high=high, unit=unit).rstrip())


def percent(share: float, digits: int = 2) -> str:
    """A share as a percentage."""
    return f"{rounded(100 * share, digits)} %"


def change(ratio: float) -> str:
    """A relative difference with its sign, to a tenth of a percent at the finest."""
    if abs(ratio) < 0.0005:
        return "±0 %"
    sign = "+" if ratio > 0 else "−"
    size = 100 * abs(ratio)
    return f"{sign}{f'{size:.1f}' if size < 1 else rounded(size, 2)} %"
