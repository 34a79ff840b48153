"""The Site that a user means by a zone, provider:region, a TOML file, fields, or a Site."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tonne.errors import DescriptionError, PlanFileError, UnknownReferenceError

if TYPE_CHECKING:
    from tonne.describe.site import Site


def site_of(given: Any) -> Site | None:  # noqa: ANN401 - whatever the user wrote
    """The site; None where none is given.

    Args:
        given: "FR", "gcp:us-central1", the path of a TOML file (its [site] section, or all of it), fields, or a Site.

    Raises:
        DescriptionError: It is none of these, or names no place that is known.
    """
    if given is None:
        return None
    from tonne.describe.site import Site  # noqa: PLC0415 - a fifth of a second, only where there is a place

    if isinstance(given, Site):
        return given
    if isinstance(given, Mapping):
        return Site.model_validate(dict(given))
    if not isinstance(given, str | os.PathLike):
        raise DescriptionError(
            f"site={given!r} is no place. Give a grid zone ('FR'), 'provider:region', a TOML file or a tonne.Site."
        )
    text = os.fspath(given)
    if text.endswith(".toml") or os.path.isfile(text):
        return Site.model_validate(fields_in(text))
    return Site(region=text) if ":" in text else Site(grid=text)


def fields_in(path: str) -> dict[str, Any]:
    """Fields of a TOML file's [site] section, or of all of it.

    Raises:
        PlanFileError: It cannot be read, or is no TOML.
    """
    import tomllib  # noqa: PLC0415 - only where there is a file

    try:
        with open(path, "rb") as file:
            fields = tomllib.load(file)
    except OSError as error:
        raise PlanFileError(f"{path} cannot be read: {error.strerror}. Give the path of a TOML file.") from None
    except tomllib.TOMLDecodeError as error:
        raise PlanFileError(f"{path} is not TOML: {error}. Mend that line.") from None
    return dict(fields.get("site", fields))


def is_known_by_tables(place: str) -> bool:
    """Whether a place is a zone or a region, which the tables alone can say: no more than a table is loaded for it.

    Args:
        place: As of `site_of`; that of a file is not known by them.

    Raises:
        UnknownReferenceError: It is a zone or a region that no table knows.
    """
    if place.endswith(".toml") or os.path.isfile(place):
        return False
    if ":" in place:
        from tonne.reference.regions import region  # noqa: PLC0415 - only the table that is needed

        region(place)
    else:
        from tonne.reference.grids import grid  # noqa: PLC0415 - as above

        grid(place)
    return True


def complaint_about(place: str) -> str | None:
    """Why a place is none, as far as the tables alone can say; None where nothing is wrong with it."""
    try:
        is_known_by_tables(place)
    except UnknownReferenceError as error:
        return str(error)
    return None
