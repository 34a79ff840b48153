"""Moments that the command line names: in UTC, as lists, ids and reports print them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tonne.errors import LedgerError

UNITS = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def unix_s(text: str | None, option: str) -> float | None:
    """Seconds since 1970 of a date, a date with a time, or how long ago it is; in UTC unless the text has a zone.

    Args:
        text: As the user writes it; None where it is left out.
        option: Whose value it is, as "since".

    Raises:
        LedgerError: It is none of these.
    """
    if text is None:
        return None
    digits, unit = text[:-1], text[-1:]
    try:
        if unit in UNITS:
            return (datetime.now(UTC) - timedelta(seconds=float(digits) * UNITS[unit])).timestamp()
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise LedgerError(
            f"--{option} {text!r} is no date. Write one, in UTC (2026-11-01, 2026-11-01T08:00), or with its zone "
            f"(2026-11-01T08:00+08:00), or how long ago (12h, 7d, 4w)."
        ) from None
