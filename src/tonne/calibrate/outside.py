"""Rows that are never fitted, forecast as a check from outside: trials before BLOOM, LoRA, and MLPerf's GPT-3."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from tonne.calibrate.measured_steps import MeasuredStep, Row, described_step
from tonne.calibrate.utilisation import LEAST_FRACTION, publisher
from tonne.count.sequence import sequence_of
from tonne.describe.adapters import Lora
from tonne.describe.architecture import Architecture
from tonne.describe.hardware import Cluster
from tonne.describe.plan import Software
from tonne.reference.accelerators import accelerator
from tonne.reference.calibration import family_of
from tonne.reference.memory_model import usable_bytes
from tonne.reference.step_outside import OutsideStep
from tonne.reference.time_model import Fitted, role_keys
from tonne.timing.machine import machine_of
from tonne.timing.search import Wanted, fastest_layout
from tonne.timing.situation import plan_situation
from tonne.timing.step_time import step_time_s

PREQUEL, BLOOM, HEAD_WIDTH = "chronicles-prequel", "bloom-176b", 128  # of the heads: assumed, as in BLOOM
TRIAL = ("layers", "hidden", "ffn_hidden", "n_gpus", "global_batch_seqs", "micro_batch", "tp", "pp", "dp",
         "zero_or_fsdp_stage")  # fmt: skip
SAME_SIZE = 0.01  # of the parameters in the trial's name: else its dimensions are those of another
LORA = Lora(rank=16, targets=("query", "key", "value", "output"))  # NeMo's linears; the rank moves the step by < 1 %
GPT_3, ROUNDS = "GPT-3 175B (MLPerf)", ("v3.1", "v4.1")
FLOP_PER_PARAMETER = 6
Coefficients = Mapping[str, float]


def outside(rows: Sequence[Row], fitted: Sequence[Fitted], unseen: Coefficients) -> list[OutsideStep]:
    """Forecasts of rows that took part in no fit.

    Args:
        rows: Of throughput.csv.
        fitted: Coefficients from all rows that were fitted.
        unseen: Coefficients, by name, from a fit without any row of BLOOM.
    """
    whole = {c.name: c.value for c in fitted}
    found = [_given("BLOOM, trials of layouts", step, unseen) for step in prequel_steps(rows)]
    found += [_given("LoRA, layout given", step, whole) for step in lora_steps(rows)]
    searched = (_searched(row, whole) for row in rows if _is_gpt_3(row))
    return found + [step for step in searched if step is not None]


def prequel_steps(rows: Iterable[Row]) -> Iterator[MeasuredStep]:
    """Trials that say layers and width: heads of 128 assumed, the fastest of those that the table cannot tell apart.

    Left out: trials whose dimensions make another size than their name, and layouts that do not fill the accelerators.
    """
    best: dict[tuple[str, ...], Row] = {}
    for row in rows:
        if PREQUEL in row["source"] and row["hidden"] and row["layers"] and _consistent(row):
            key = tuple(row[name] for name in TRIAL)
            if key not in best or float(row["step_time_s"]) < float(best[key]["step_time_s"]):
                best[key] = row
    for row in best.values():
        heads = int(row["hidden"]) // HEAD_WIDTH
        vocabulary = Architecture.preset(BLOOM).vocabulary
        assumed = {"heads": str(heads), "head_width": str(HEAD_WIDTH), "vocab": str(vocabulary)}
        step = described_step({**row, **assumed})
        assert step is not None
        yield step


def _consistent(row: Row) -> bool:
    layers, width = int(row["layers"]), int(row["hidden"])
    parameters = 12 * layers * width * width + Architecture.preset(BLOOM).vocabulary * width
    whole = int(row["tp"]) * int(row["pp"]) * int(row["dp"]) == int(row["n_gpus"])
    return whole and abs(parameters / float(row["params"]) - 1) <= SAME_SIZE


def lora_steps(rows: Iterable[Row]) -> Iterator[MeasuredStep]:
    """LoRA with its layout printed: of NeMo and Megatron-Bridge."""
    for row in rows:
        if "lora" in f"{row['model_name']} {row['notes']}".lower() and "NeMo" in row["source"]:
            step = described_step(row)
            if step is not None:
                training = step.plan.training.model_copy(update={"lora": LORA})
                plan = step.plan.model_copy(update={"training": training})
                assert plan.parallelism is not None
                situation = plan_situation(plan, plan.parallelism)
                assert situation is not None
                yield replace(step, plan=plan, situation=situation)


def _given(check: str, step: MeasuredStep, values: Coefficients) -> OutsideStep:
    own = {name: value for name, value in values.items() if "." not in name} | _roles(step.roles, values)
    p = step.plan.parallelism
    assert p is not None
    return OutsideStep(
        id=step.id,
        check=check,
        source=step.source,
        model=step.model,
        accelerators=step.accelerators,
        layout=_layout(p.tensor, p.pipeline, p.data, step.plan.training.micro_batch_sequences),
        measured_s=step.step_time_s,
        predicted_s=float(step_time_s(step.situation, own)),
    )


def _layout(tensor: int, pipeline: int, data: int, micro_batch: float) -> str:
    return f"tensor {tensor} x pipeline {pipeline} x data {data} and micro-batch {micro_batch:g}"


def _roles(roles: Mapping[str, tuple[str, ...]], values: Coefficients) -> dict[str, float]:
    def mean(names: tuple[str, ...]) -> float:
        return math.exp(sum(math.log(values[name]) for name in names) / len(names))

    return {role: mean(names) for role, names in roles.items()}


def _is_gpt_3(row: Row) -> bool:
    """Steps of MLPerf's GPT-3; the first round's times are of many steps, as their speed shows."""
    named = row["model_name"] == GPT_3 and any(part in row["source"] for part in ROUNDS)
    return named and any(chip in row["gpu"] for chip in ("H100", "B200"))


def _searched(row: Row, values: Coefficients) -> OutsideStep | None:
    """One row in the fastest layout: the round's rules allow 8 bits, its submissions use them."""
    chip = accelerator("B200" if "B200" in row["gpu"] else "H100").record
    software, precision, n = Software(framework="nemo", released=row["date"][:7]), "fp8", int(row["n_gpus"])
    architecture, batch = Architecture.preset("gpt-3-175b"), int(row["global_batch_seqs"])
    machine = machine_of(Cluster(accelerator=chip.id, accelerators=n), precision)
    roles = role_keys(family_of(chip.id), precision, software.framework)
    assert machine is not None
    assert roles is not None
    assert chip.memory_gb is not None
    wanted = Wanted(
        architecture=architecture,
        sequence=sequence_of(architecture, sequence_length=int(row["seq_len"])),
        machine=machine,
        capacity_bytes=usable_bytes(chip.memory_gb),
        accelerators=n,
        batch_sequences=batch,
        precision=precision,
        software=software,
    )
    own = {name: value for name, value in values.items() if "." not in name} | _roles(roles, values)
    found = fastest_layout(wanted, own)
    if found is None or not _one_step(row, machine.peak_flop_per_s):
        return None
    best = found.chosen
    return OutsideStep(
        id=row["id"],
        check="MLPerf GPT-3 175B, layout searched",
        source=publisher(row["source"]),
        model="GPT3-175B",
        accelerators=n,
        layout=_layout(best.tensor, best.pipeline, best.data, best.micro_batch_sequences),
        measured_s=float(row["step_time_s"]),
        predicted_s=best.step_time_s,
    )


def _one_step(row: Row, peak_flop_per_s: float) -> bool:
    """Whether the time printed is one step's: else the accelerators would hardly compute, or more than they can."""
    tokens = float(row["global_batch_seqs"]) * float(row["seq_len"])
    rate = FLOP_PER_PARAMETER * float(row["params"]) * tokens / float(row["step_time_s"]) / float(row["n_gpus"])
    return LEAST_FRACTION < rate / peak_flop_per_s < 1
