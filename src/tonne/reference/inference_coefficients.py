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
    "layer_s",
    "exchange_s",
    "prefill_time_factor",
    "decode_time_factor",
    "memory_activity",
)


def inference_coefficients() -> Mapping[str, Estimate]:
    """The shipped coefficients by name.

    Returns:
        ``prefill_peak_fraction`` (of the dense peak, where matrices are bound by arithmetic), ``bandwidth_fraction``
        (of memory), ``layer_s`` and ``exchange_s`` [s], all without spread; the spread of what real engines reach
        stands in ``prefill_time_factor`` and ``decode_time_factor`` (1 at their median). ``memory_activity``: share
        of the power between idling and training that a step draws which only reads memory.
    """
    return {
        row["quantity"]: Estimate(
            value=float(row["value"]),
            low=float(row["low"]),
            high=float(row["high"]),
            basis=Basis(row["basis"]),
            sources=(f"{row['source']}, {row['n']} measurements of {row['n_sources']} sources",),
        )
        for row in table("inference_coefficients")
    }
