"""The line through printed batches, by which a plan that names none gets one."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, median

from tonne.reference.batches import BatchLine

Rows = Iterable[Mapping[str, str]]
ACCELERATORS = 1000.0  # where the line's height is stated
PRE_TRAINING = {"decoder", "moe"}
NOT_RUNS = ("lora", "sft", "slice", "recalled")  # adapters, fine-tuning, cut models, memory: their batches are others
COLUMNS = ("name", "value", "unit", "basis", "source", "note")


def printed_batches(measured: Rows, runs: Rows = ()) -> dict[tuple[str, int], float]:
    """Tokens of a batch by publisher and accelerators: the geometric mean over models, each its median over rows.

    Args:
        measured: Rows of throughput.csv.
        runs: Rows of published_runs.csv; one whose model was measured on so many accelerators stands there already.
    """
    logs: dict[tuple[str, int], dict[str, list[float]]] = {}
    seen = set()
    for row in measured:
        text = f"{row['model_name']} {row['notes']}".lower()
        if row["kind"] not in PRE_TRAINING or any(word in text for word in NOT_RUNS):
            continue
        if row["global_batch_seqs"] and row["seq_len"] and row["n_gpus"]:
            n = int(float(row["n_gpus"]))
            seen.add((row["architecture_id"], n))
            own = logs.setdefault((publisher(row["source"]), n), {}).setdefault(row["model_name"], [])
            own.append(math.log(float(row["global_batch_seqs"]) * float(row["seq_len"])))
    for row in runs:
        if row["global_batch_seqs"] and row["n_chips"]:
            n = int(float(row["n_chips"]))
            if (row["architecture_id"], n) not in seen:
                tokens = float(row["global_batch_seqs"]) * float(row["seq_len"])
                logs.setdefault((row["org"], n), {})[row["model"]] = [math.log(tokens)]
    return {key: math.exp(fmean([median(own) for own in models.values()])) for key, models in logs.items()}


def publisher(source: str) -> str:
    """Who printed a row: the repository, the round of MLPerf counted as one, or the paper."""
    if source.startswith("mlcommons"):
        return "mlcommons"
    return re.split(r" Table| section", source)[0] if source.startswith("arXiv") else re.split(r"[:@ ]", source)[0]


def fitted_line(batches: Mapping[tuple[str, int], float]) -> BatchLine:
    """The line of least squares in logarithms.

    Equation: ln B = ln b + x ln(n / n_0) + r, with B = tokens of a batch, n = accelerators, n_0 = 1000; the spread
    factor is exp of the standard deviation of r.
    """
    sizes = [math.log(n / ACCELERATORS) for _, n in batches]
    logs = [math.log(tokens) for tokens in batches.values()]
    mean_size, mean_log = fmean(sizes), fmean(logs)
    exponent = sum((x - mean_size) * (y - mean_log) for x, y in zip(sizes, logs, strict=True)) / sum(
        (x - mean_size) ** 2 for x in sizes
    )
    height = mean_log - exponent * mean_size
    squares = sum((y - height - exponent * x) ** 2 for x, y in zip(sizes, logs, strict=True))
    return BatchLine(
        tokens=math.exp(height),
        accelerators=ACCELERATORS,
        exponent=exponent,
        spread_factor=math.exp(math.sqrt(squares / (len(logs) - 2))),
    )


def write_batch_line(measured: Rows, runs: Rows, path: Path) -> None:
    """Write the line as a table, three significant digits."""
    batches = printed_batches(measured, runs)
    line, publishers = fitted_line(batches), sorted({name for name, _ in batches})
    source = "tonne.calibrate: throughput.csv and published_runs.csv"
    note = f"line through {len(batches)} pairs of publisher and number of accelerators: {'; '.join(publishers)}"
    values = (
        ("batch_tokens", line.tokens, "token", "modelled", note),
        ("batch_accelerators", line.accelerators, "", "modelled", "where batch_tokens holds"),
        ("batch_exponent", line.exponent, "", "modelled", "power of the number of accelerators"),
        ("batch_spread_factor", line.spread_factor, "", "modelled", "one standard deviation of the pairs around it"),
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((name, f"{value:.3g}", unit, basis, source, text) for name, value, unit, basis, text in values)
