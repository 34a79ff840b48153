"""How long does one wait for `import tonne` and for the first forecast?

Asked for: import within 30 ms of bare Python, `tonne forecast` cold within 0.7 s on two cores. Exits with 1 if missed.

Answer (2 cores of a virtual machine, Python 3.11.7, 2026-11-24): import 4 ms, forecast 380 ms.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

REPEATS = 9
IMPORT_LIMIT_S = 0.030
FORECAST_LIMIT_S = 0.7
FORECAST = ("forecast", "gpt-3-175b", "--tokens", "300B", "--accelerators", "1024xA100-80GB", "--grid", "FR")


def median_s(*command: str) -> float:
    times: list[float] = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=Path(__file__).parents[1])
        times.append(time.perf_counter() - start)
    return median(times[1:])  # the first one fills the file cache


def main() -> int:
    bare_s = median_s("-c", "pass")
    import_s = median_s("-c", "import tonne") - bare_s
    forecast_s = median_s("-c", "import tonne.cli.main as m; m.run()", *FORECAST)
    print(f"import tonne      {1000 * import_s:6.1f} ms over bare Python   (limit {1000 * IMPORT_LIMIT_S:.0f} ms)")
    print(f"tonne forecast    {1000 * forecast_s:6.1f} ms cold              (limit {1000 * FORECAST_LIMIT_S:.0f} ms)")
    return int(import_s > IMPORT_LIMIT_S or forecast_s > FORECAST_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
