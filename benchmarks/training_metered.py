"""What does the meter cost a training run, in CPU time a token?

Trains a plan in a process of its own, by turns as `tonne train` does (forecast, meter, live columns, ledger) and with
`measured=False`, and compares the CPU time of the steps alone: from the end of the first step to the last step. On a
machine that others use, CPU time is what can be compared; the mean of the pairs' differences and its standard error are
printed, and what the meter's thread and its part of the steps took in the metered runs, which is far less noisy.

Answer (2 busy cores of a virtual machine, EPYC, torch 2.13, one thread, 2026-11-27): of 21.1 s of CPU time in 139 steps
(28 s) the meter's thread took 0.02 s and its part of the steps, live columns among it, 0.03 s: 0.2 %. Six pairs differ
by 2.1 % with a standard error of 1.9 %, for a crowded cache costs either of two runs up to a tenth.

    python benchmarks/training_metered.py [STEPS] [PAIRS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PLAN = Path(__file__).resolve().parents[1] / "examples" / "pretrain-gpt.toml"
STEPS, PAIRS = 100, 6
ONE = """
import json, os, sys, threading, time
plan, folder, steps, measured = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "metered"
os.environ.update(TONNE_HOME=os.path.join(folder, "home"), OMP_NUM_THREADS="1")
from tonne.train.fitting import Session
from tonne.workflow import Asked, metering, train
seen = []
end, step = metering.Metering.on_end, metering.Metering.on_step
spent = [0.0]
def on_step(self, *told):
    begun = time.thread_time()
    found = step(self, *told)
    spent[0] += time.thread_time() - begun
    return found
def on_end(self, error):
    threads = [open(f"/proc/self/task/{one.native_id}/stat").read().rpartition(")")[2].split()
               for one in threading.enumerate() if one.name == "tonne"]
    ours = sum(int(fields[11]) + int(fields[12]) for fields in threads) / os.sysconf("SC_CLK_TCK")
    seen.append((self._last[1] - self._first[1], self._last[0] - self._first[0], ours + spent[0]))
    end(self, error)
metering.Metering.on_step = on_step
metering.Metering.on_end = on_end
output = os.path.join(folder, f"{sys.argv[4]}-{sys.argv[5]}")
session = Session(device="cpu", stream=None)
train(plan, output, asked=Asked(site="FR", measured=measured), max_steps=steps, session=session)
print(json.dumps(seen[0]))
"""


def cpu_s(folder: Path, steps: int, how: str, number: int) -> tuple[float, float, float]:
    """CPU time and time of the steps after the first, and CPU time that was the meter's [s]."""
    words = [sys.executable, "-c", ONE, str(PLAN), str(folder), str(steps), how, str(number)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    cpu, wall, own = json.loads(done.stdout.splitlines()[-1])
    return cpu, wall, own


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    pairs = int(sys.argv[2]) if len(sys.argv) > 2 else PAIRS
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        cpu_s(folder, 5, "plain", -1)  # prepares the text
        shares = []
        for number in range(pairs):
            order = ("metered", "plain") if number % 2 else ("plain", "metered")
            found = {how: cpu_s(folder, steps, how, number) for how in order}
            shares.append(found["metered"][0] / found["plain"][0] - 1)
            print(
                f"pair {number}: plain {found['plain'][0]:.2f} s of CPU ({found['plain'][1]:.1f} s), metered "
                f"{found['metered'][0]:.2f} s ({found['metered'][1]:.1f} s): {shares[-1]:+.2%}; of it the meter's own "
                f"{found['metered'][2]:.3f} s",
                flush=True,
            )
        error = statistics.stdev(shares) / len(shares) ** 0.5 if len(shares) > 1 else float("nan")
        print(f"the meter costs {statistics.fmean(shares):+.2%} of the steps' CPU time, standard error {error:.2%}")


if __name__ == "__main__":
    main()
