"""`tonne count`: parameters, FLOP and memory of a model, without any hardware."""

from __future__ import annotations

import json
from pathlib import Path

from tonne.cli.options import is_config
from tonne.count.memory import inference_memory_bytes, memory_per_accelerator
from tonne.count.workload import Counts, counts_of
from tonne.describe.architecture import Architecture
from tonne.describe.plan import TrainingPlan
from tonne.documents import SCHEMA_VERSION, plain
from tonne.errors import DescriptionError
from tonne.report.numbers import SIZE_BYTES, rounded, short

DEFAULT_SEQUENCE_LENGTH = 2048
OBJECTIVES = {"encoder": "masked-lm", "decoder": "causal-lm", "encoder-decoder": "seq2seq"}
OF_A_RUN = ("tokens", "training_flop", "executed_training_flop")
LABEL = 36


def run(model: str, *, sequence_length: int | None = None, as_json: bool = False) -> None:
    """Print what a model holds and what one token of training computes."""
    a = architecture_of(model)
    length = sequence_length if sequence_length is not None else default_length(a)
    objective = OBJECTIVES[a.kind] if a.task_head is None else "classification"
    counts = counts_of(a, tokens=1, sequence_length=length, objective=objective)
    memory = memory_of(a, counts.sequence_length)
    if as_json:
        whole = {
            "schema_version": SCHEMA_VERSION,
            "model": model,
            "architecture": plain(a),
            "counts": _of_a_token(counts),
            "memory": memory,
        }
        print(json.dumps(whole, indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(model, counts, memory)))


def architecture_of(model: str) -> Architecture:
    """The architecture of a preset, a plan file, a config.json or the folder of one.

    Raises:
        TonneError: The model is unknown, or the file holds no architecture.
    """
    path = Path(model)
    if path.suffix == ".toml":
        found = TrainingPlan.from_toml(path).architecture
        if found is None:
            raise DescriptionError(f"{path} has no [architecture]. Add one, e.g. preset = 'gpt-3-175b'.")
        return found
    return Architecture.from_huggingface(path) if is_config(model) else Architecture.preset(model)


def default_length(a: Architecture) -> int:
    """The sequence length used where none is given: up to 2048 tokens, or 512 of a source."""
    longest = 512 if a.kind == "encoder-decoder" else DEFAULT_SEQUENCE_LENGTH
    return min(a.max_positions, longest) if a.max_positions else longest


def memory_of(a: Architecture, sequence_length: int) -> dict[str, float]:
    """Bytes to train on one accelerator, nothing split, and to infer; one sequence, 16-bit weights, Adam."""
    training = plain(memory_per_accelerator(a, sequence_length=sequence_length))
    found = {
        f"training_{name}": value for name, value in training.items() if name.endswith("_bytes") and value is not None
    }
    found["training_total_bytes"] = found.pop("training_total_bytes")  # after its parts
    found["training_overhead_bytes"] = found.pop("training_overhead_bytes")
    inference = inference_memory_bytes(a, sequence_length=sequence_length)
    return {**found, "inference_total_bytes": float(inference)}


def lines(model: str, counts: Counts, memory: dict[str, float]) -> list[str]:
    """The counts as text."""
    text = [f"{model}", "", "Parameters"]
    text += [_line(f"  {part.replace('_', ' ')}", f"{number:,}") for part, number in counts.parts.items() if number]
    text.append(_line("  whole", f"{counts.parameters:,}", short(counts.parameters)))
    if counts.active_parameters != counts.parameters:
        text.append(_line("  active, of one token", f"{counts.active_parameters:,}"))
    text += ["", f"FLOP per token, forward and backward, sequences of {counts.sequence_length:,} tokens"]
    text.append(_line("  model (true mask)", _flop(counts.model_flop_per_token)))
    text.append(_line("  executed (whole attention squares)", _flop(counts.executed_flop_per_token)))
    text += [_line(f"  convention {name}", _flop(flop)) for name, flop in counts.conventions.items()]
    text += ["", "Memory of one sequence, 16-bit weights, Adam, nothing split"]
    for name, value in memory.items():
        label = name.removesuffix("_bytes").replace("_", " ").replace("total", "in all")
        text.append(_line(f"  {label}", short(value, SIZE_BYTES)))
    return text


def _of_a_token(counts: Counts) -> dict[str, object]:
    """The counts without those of a whole run, which `tonne count` knows nothing of."""
    fields: dict[str, object] = plain(counts)
    return {key: value for key, value in fields.items() if key not in OF_A_RUN}


def _flop(flop: float) -> str:
    return f"{rounded(float(flop), 4)} FLOP"


def _line(label: str, value: str, remark: str = "") -> str:
    return f"{label:<{LABEL}}{value:>24}  {remark}".rstrip()
