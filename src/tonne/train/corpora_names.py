"""Names in English and in another language, from the Unicode CLDR through Babel.

Languages, scripts, territories, currencies, time zones and their cities, and the names of locales, which are made of
several ("Serbian (Cyrillic, Montenegro)"). Names that are the same in both languages are left out: copying would
translate them. Licence of the data: Unicode License v3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from tonne.errors import MissingPackageError

_SINGLE = ("territories", "languages", "scripts", "variants", "currency_names")


def translations(language: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Key and row of each pair, by English name; the key is that name.

    Args:
        language: CLDR's code of the language translated into, e.g. "zh".

    Raises:
        MissingPackageError: Babel is not installed.
    """
    english, other = _names_in("en"), _names_in(language)
    pairs: dict[str, str] = {}
    for key in sorted(english.keys() & other.keys()):
        if english[key].casefold() != other[key].casefold():
            pairs.setdefault(english[key], other[key])  # of a name with two meanings, the first
    for name, translated in sorted(pairs.items()):
        yield name, {"source": name, "target": translated}


def _names_in(language: str) -> dict[tuple[str, str], str]:
    """The names that a language has, by kind and code."""
    core, localedata = _babel()
    locale = core.Locale.parse(language)
    data = locale._data  # Babel has properties for most, and none for variants and for time zones
    found = {(kind, code): str(name) for kind in _SINGLE for code, name in data[kind].items()}
    found |= {("city", zone): names["city"] for zone, names in data["time_zones"].items() if "city" in names}
    for zone, names in data["meta_zones"].items():
        found |= {("zone", f"{zone} {part}"): name for part, name in names.get("long", {}).items()}
    for code in sorted(localedata.locale_identifiers()):
        name = core.Locale.parse(code).get_display_name(locale)
        if name and "(" in name:
            found["locale", code] = name
    return found


def _babel() -> tuple[Any, Any]:
    """Babel's modules ``core`` and ``localedata``."""
    try:
        return import_module("babel.core"), import_module("babel.localedata")
    except ModuleNotFoundError:
        raise MissingPackageError(
            "The built-in names need the package babel, which is not installed. Run: pip install 'tonne[names]'"
        ) from None
