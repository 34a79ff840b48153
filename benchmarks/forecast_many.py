"""How many forecasts a second does one core make, central values alone and with intervals?"""

import time
from statistics import median

import numpy as np

import tonne

SIZE, RUNS = 200_000, 5
PLAN = tonne.TrainingPlan.from_fields(
    {
        "architecture": {"preset": "gpt-3-175b"},
        "data": {"tokens": 300e9, "sequence_length": 2048},
        "cluster": {"accelerator": "A100-80GB", "accelerators": 1024},
        "site": {"grid": "FR", "pue": 1.2, "usd_per_accelerator_hour": 2.0, "wue_l_per_kwh": 0.2},
    }
)
FIELDS = {"cluster.accelerators": np.arange(8, 8 + SIZE), "data.tokens": np.geomspace(1e9, 1e13, SIZE)}


def forecasts_per_s(*, intervals: bool) -> float:
    """Median over some runs."""
    rates = []
    for _ in range(RUNS):
        start = time.perf_counter()
        tonne.forecast_many(PLAN, FIELDS, intervals=intervals)
        rates.append(SIZE / (time.perf_counter() - start))
    return median(rates)


if __name__ == "__main__":
    tonne.forecast_many(PLAN, FIELDS)
    for intervals, asked in ((False, 200_000), (True, 20_000)):
        what = "with intervals" if intervals else "central values"
        print(f"{what:15} {forecasts_per_s(intervals=intervals):12,.0f} forecasts/s (asked: {asked:,})")
