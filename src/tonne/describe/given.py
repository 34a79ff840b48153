"""Which fields of a plan were given: a document names all of them, and a field left open is still to be found."""

from __future__ import annotations

from typing import Any

from tonne.errors import DescriptionError

GIVEN = "given"
WHOLE = "architecture"  # kept with all its fields: what it was filled in by may change from version to version


def given_of(fields: dict[str, Any]) -> list[str]:
    """Names of the fields that were given, such as data.tokens, from a plan without its defaults."""
    found: list[str] = []
    for section, value in fields.items():
        inside = value if isinstance(value, dict) and section != WHOLE else {}
        found += [f"{section}.{name}" for name in inside] or [section]
    return found


def as_given(fields: Any) -> Any:  # noqa: ANN401 - whatever the file held
    """The fields that a document says were given; all of them where it does not say.

    Raises:
        DescriptionError: What was given is no list of names.
    """
    if not isinstance(fields, dict) or GIVEN not in fields:
        return fields
    given = fields[GIVEN]
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise DescriptionError(
            f"{GIVEN}={given!r} is no list of fields. A document lists there what its plan gave, such as data.tokens: "
            f"leave it out, and every field counts as given."
        )
    kept = {name: _inside(name, value, given) for name, value in fields.items() if name != GIVEN}
    return {name: value for name, value in kept.items() if name in given or (value is not None and value != {})}


def _inside(section: str, value: Any, given: list[str]) -> Any:  # noqa: ANN401 - a section or a name
    """A section with the fields of it that were given; None where none of it was."""
    if section in given:
        return value
    return {k: v for k, v in value.items() if f"{section}.{k}" in given} if isinstance(value, dict) else None
