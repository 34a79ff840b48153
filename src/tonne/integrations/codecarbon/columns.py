"""A row as CodeCarbon writes it; exports write the same, one floor below."""

from tonne.report.exports.codecarbon_columns import (
    ADDED,
    COLUMNS,
    UNKNOWN,
    EmissionsData,
    TaskEmissionsData,
    sendable,
    task_row,
    with_rates,
)

__all__ = [
    "ADDED", "COLUMNS", "UNKNOWN", "EmissionsData", "TaskEmissionsData", "sendable", "tag_of", "task_row", "with_rates",
]  # fmt: skip

ID_LENGTH = 8  # of the run_id that a tag holds


def tag_of(run_id: str) -> str:
    """The tag by which the run of a tracker is found from its row."""
    return f"codecarbon-{run_id[:ID_LENGTH]}"
