"""What other forecasters scored on measured training steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tonne.reference.table import table


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerScore:
    """One tool over some rows: |predicted / measured - 1|, its median and 90th percentile, and the median bias."""

    tool: str
    rows: str
    n: int
    median: float
    p90: float
    bias: float
    how: str


@cache
def peer_scores() -> tuple[PeerScore, ...]:
    """Every score, in the order of the table."""
    return tuple(
        PeerScore(
            tool=row["tool"],
            rows=row["rows"],
            n=int(row["n"]),
            median=float(row["median"]),
            p90=float(row["p90"]),
            bias=float(row["bias"]),
            how=row["how"],
        )
        for row in table("throughput_peers")
    )
