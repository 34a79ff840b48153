"""A row as CodeCarbon writes it; exports write the same, one floor below."""

from tonne.report.exports.codecarbon_columns import (
    ADDED,
    COLUMNS,
    UNKNOWN,
    EmissionsData,
    TaskEmissionsData,
    with_rates,
)

__all__ = ["ADDED", "COLUMNS", "UNKNOWN", "EmissionsData", "TaskEmissionsData", "with_rates"]
