"""How long does a layout search take, and how many layouts a second does one core time?

Asked for: Llama 3.1 405B on 16,384 accelerators searched within 2 s; a million layouts a second in forecast_many
(central values, one architecture). Exits with 1 if missed.

Answer (2 busy cores of a virtual machine, Python 3.11, NumPy 2, 2026-11-24): 0.03 s; 1.4 to 3.7 million a second.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import numpy as np

import tonne
from tonne.forecasting.searches import found_layout

SIZE, RUNS = 1_000_000, 5
SEARCH_LIMIT_S, LAYOUTS_PER_S = 2.0, 1e6
FIELDS = {
    "architecture": {"preset": "llama-3.1-405b"},
    "data": {"tokens": 15e12, "sequence_length": 8192},
    "training": {"global_batch_sequences": 2048},
    "software": {"framework": "megatron-lm"},
    "cluster": {"accelerator": "H100", "accelerators": 16_384},
    "site": {"pue": 1.1},
}


def search_s() -> float:
    plan = tonne.TrainingPlan.from_fields(FIELDS)
    times = []
    for _ in range(RUNS):
        found_layout.cache_clear()
        start = time.perf_counter()
        found = tonne.forecast(plan)
        times.append(time.perf_counter() - start)
    assert found.layout is not None
    print(f"among {found.layout.tried:,} layouts, {found.layout.fitting:,} of which fit")
    return median(times)


def layouts_per_s() -> float:
    plan = tonne.TrainingPlan.from_fields({**FIELDS, "parallelism": {"tensor": 8, "pipeline": 16, "data": 128}})
    random = np.random.default_rng(0)
    tensor, pipeline = 2 ** random.integers(0, 4, SIZE), 2 ** random.integers(3, 7, SIZE)
    arrays = {
        "parallelism.tensor": tensor,
        "parallelism.pipeline": pipeline,
        "parallelism.data": 16_384 // tensor // pipeline,
        "training.micro_batch_sequences": 2 ** random.integers(0, 3, SIZE),
    }
    rates = []
    for _ in range(RUNS):
        start = time.process_time()
        tonne.forecast_many(plan, arrays, intervals=False)
        rates.append(SIZE / (time.process_time() - start))
    return median(rates)


def main() -> int:
    searched_s, rate = search_s(), layouts_per_s()
    print(f"forecast with a search  {searched_s:10.3f} s          (asked: {SEARCH_LIMIT_S:g} s)")
    print(f"forecast_many           {rate:12,.0f} layouts/s (asked: {LAYOUTS_PER_S:,.0f})")
    return int(searched_s > SEARCH_LIMIT_S or rate < LAYOUTS_PER_S)


if __name__ == "__main__":
    sys.exit(main())
