"""Fitted coefficients of serving: shares of peak and bandwidth, overhead a layer, and how far real engines scatter.

The table `inference_coefficients.csv` is written by `python -m tonne.calibrate`.
"""

from __future__ import annotations

from collections.abc import Mapping

from tonne.estimate import Basis, Estimate
from tonne.reference.table import table

QUANTITIES = (
    "prefill_peak_fraction",
    "bandwidth_fraction",
    "experts_fraction",
    "link_fraction",
    "layer_s",
    "latency_s",
    "prefill_time_factor",
    "decode_time_factor",
    "memory_activity",
    "resting_activity",
)


def inference_coefficients(leave_out: str = "") -> Mapping[str, Estimate]:
    """The shipped coefficients by name.

    Args:
        leave_out: Key of a source whose measurements may not be used; one without any leaves nothing out.

    Returns:
        ``prefill_peak_fraction`` (of the dense peak, where matrices are bound by arithmetic), ``bandwidth_fraction``
        (of memory), ``experts_fraction`` (of the first, for a mixture of experts), ``link_fraction``, ``layer_s`` and
        ``latency_s`` [s], all without spread; the spread of what real engines reach stands in ``prefill_time_factor``
        and ``decode_time_factor``. ``memory_activity``, ``resting_activity``: share of the power between idling and
        training that is drawn by a step which only reads, and in its overhead.
    """
    rows = table("inference_coefficients")
    key = leave_out if any(row["left_out"] == leave_out for row in rows) else ""
    return {
        row["quantity"]: Estimate(
            value=float(row["value"]),
            low=float(row["low"]),
            high=float(row["high"]),
            basis=Basis(row["basis"]),
            sources=(f"{row['source']}, {row['n']} measurements of {row['n_sources']} sources",),
        )
        for row in rows
        if row["left_out"] == key
    }
