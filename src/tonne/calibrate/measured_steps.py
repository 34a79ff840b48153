"""Rows of measured throughput as plans, and as figures by name for the time model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tonne.calibrate.utilisation import SPELLING, _chip, publisher
from tonne.describe.architecture import Architecture
from tonne.describe.plan import Software, TrainingPlan
from tonne.describe.presets import preset_fields
from tonne.estimate import Number
from tonne.reference.calibration import PRECISION_CLASS, family_of
from tonne.reference.step_recipes import recipe_software
from tonne.reference.time_model import role_keys
from tonne.timing.situation import plan_situation, software_figures

Row = Mapping[str, str]
NEEDED = ("layers", "hidden", "ffn_hidden", "heads", "seq_len", "n_gpus", "global_batch_seqs", "tp", "pp", "dp")
LESS = ("lora", "recalled", "goodput-level")
PADDED_VOCABULARY = 51_200  # of GPT-2, where a row names none
STAGES = re.compile(r"(?:VP=|interleaving |VPP=)(\d+)(?: \((\d+)\))?")  # in parentheses: of the row in MXFP8
NODE_NETWORK = re.compile(r"(?:(\d+)x)?([\d.]+) ?(?:Gb/s RoCE|Gbps per node|Gb/s/node)")
FRAMEWORKS = {
    "NVIDIA-NeMo/Megatron-Bridge": "megatron-bridge",
    "NVIDIA/NeMo": "nemo",
    "mosaicml/llm-foundry": "llm-foundry",
    "foundation-model-stack/fms-fsdp": "fms-fsdp",
}
DENSE_LAYERS_OF_SLICE = 1  # SimuMax says so of its slice of DeepSeek-V3, and the memory of that of V2 fits it
PER_NODE = 8
BEFORE_SEQUENCE = {"arXiv 2104.04473", "bigscience-workshop/bigscience"}  # their Megatron had no such parallelism


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """One measured configuration, described: its figures by name, the coefficients of its roles, its time [s].

    ``recipe``: precision as the source spells it, and whether a model was trained or tuned. ``left_open``: the figures
    of a plan that does not say how a mixture's exchanges and graphs are done.
    """

    id: str
    source: str
    model: str
    kind: str
    precision: str
    family: str
    accelerators: int
    sequence_length: int
    step_time_s: float
    plan: TrainingPlan
    situation: Mapping[str, Number]
    roles: Mapping[str, tuple[str, ...]]
    recipe: str = ""
    left_open: Mapping[str, Number] = field(default_factory=dict)


def measured_steps(rows: Iterable[Row]) -> list[MeasuredStep]:
    """Rows that say enough: shape, layout, batch, precision and a measured step, of a chip that is fitted.

    Left out: LoRA, hours of whole runs, rows from memory, and benchmark rounds whose layout is not printed.
    """
    found = (_measured(row) for row in rows)
    return [step for step in found if step is not None]


def _measured(row: Row) -> MeasuredStep | None:
    words = f"{row['model_name']} {row['notes']}".lower()
    return None if any(word in words for word in LESS) else described_step(row)


def described_step(row: Row) -> MeasuredStep | None:
    """One row as a measured step; None where it says too little, or of a chip that is not fitted."""
    complete = all(row[name] for name in (*NEEDED, "micro_batch", "precision", "step_time_s"))
    if not complete or row["kind"] not in {"decoder", "moe"}:
        return None
    chip = _chip(row["gpu"])
    precision = SPELLING.get(row["precision"], row["precision"])
    if chip is None or "mlcommons" in row["source"]:
        return None
    framework = FRAMEWORKS.get(publisher(row["source"]), "megatron-lm")
    roles = role_keys(family_of(chip.id), precision, framework)
    if roles is None:
        return None
    plan = TrainingPlan.from_fields(_plan_fields(row, chip.id, precision, framework), origin=row["id"])
    assert plan.parallelism is not None
    situation = plan_situation(plan, plan.parallelism)
    assert situation is not None  # every fitted chip has its rates in the tables
    return MeasuredStep(
        id=row["id"],
        source=publisher(row["source"]),
        model=model_of(row),
        kind="moe" if row["kind"] == "moe" else "dense",
        precision=PRECISION_CLASS[precision],
        family=family_of(chip.id),
        accelerators=int(row["n_gpus"]),
        sequence_length=int(row["seq_len"]),
        step_time_s=float(row["step_time_s"]),
        plan=plan,
        situation=situation,
        roles=roles,
        recipe=f"{row['precision']}{' SFT' * (' SFT' in row['model_name'])}",
        left_open={**situation, **software_figures(left_open(plan.software))},
    )


def left_open(software: Software) -> Software:
    """The software of a plan that says nothing of what serves mixtures of experts."""
    kept = {"framework": software.framework, "released": software.released, "flash_attention": software.flash_attention}
    return Software.model_validate(kept)


def _plan_fields(row: Row, chip: str, precision: str, framework: str) -> dict[str, Any]:
    tensor, pipeline, context, expert = (int(float(row[name] or 1)) for name in ("tp", "pp", "cp", "ep"))
    accelerators = int(row["n_gpus"])
    cluster: dict[str, Any] = {"accelerator": chip, "accelerators": accelerators}
    network = NODE_NETWORK.search(row["notes"])
    if network is not None:
        cluster["network_gbit_per_s"] = float(network.group(1) or 1) * float(network.group(2)) / PER_NODE
    recomputation = row["activation_recompute"]
    return {
        "name": row["id"],
        "architecture": architecture_of(row).model_dump(exclude_unset=True),
        "data": {"tokens": 1e9, "sequence_length": int(row["seq_len"])},
        "training": {
            "global_batch_sequences": int(row["global_batch_seqs"]),
            "micro_batch_sequences": int(row["micro_batch"]),
            "precision": precision,
            "recomputation": "full" if recomputation == "full" else _selective(recomputation),
        },
        "parallelism": {
            "tensor": tensor,
            "pipeline": pipeline,
            "data": accelerators // (tensor * pipeline * context),
            "context": context,
            "expert": expert,
            "virtual_pipeline_stages": _virtual_stages(row),
            "sharding": _sharding(row["zero_or_fsdp_stage"]),
            "sequence": _shares_sequence(row),
        },
        "software": {
            "framework": framework,
            "released": row["date"][:7],
            "flash_attention": row["flash_attention"] != "n",
            **_experts_software(row, chip),
        },
        "cluster": cluster,
    }


def _virtual_stages(row: Row) -> int:
    found = STAGES.search(row["notes"])
    if found is None:
        return 1
    return int((found.group(2) if row["precision"] == "mxfp8" else None) or found.group(1))


def model_of(row: Row) -> str:
    """The model of a row, its variants and tasks taken together."""
    return re.sub(r" \(.*", "", row["model_name"]).replace(" SFT", "").upper()


def _experts_software(row: Row, chip: str) -> dict[str, Any]:
    """How a mixture was run: its recipe's settings, and what the row's own notes say otherwise."""
    if row["kind"] != "moe":
        return {}
    found = recipe_software(model_of(row), chip, row["precision"], row["date"][:7])
    if "tokendrop" in row["notes"]:
        found["expert_capacity"] = True
    if "alltoall" in row["notes"]:
        found["dispatch"] = "all-to-all"
    if "EP overlap on" in row["notes"]:
        found["overlapped_experts"] = True
    return found


def _selective(recomputation: str) -> str:
    return "selective" if recomputation.startswith("selective") else "none"


def _shares_sequence(row: Row) -> bool:
    """Whether tensor ranks shared the sequence: not before 2022, nor in the baseline that its paper compares with."""
    baseline = "baseline without SP" in row["notes"] and row["activation_recompute"] == "full"
    return publisher(row["source"]) not in BEFORE_SEQUENCE and not baseline


def _sharding(stage: str) -> str:
    if "full" in stage or stage in {"megatron-fsdp", "hsdp"}:
        return "zero-3"
    if "grad" in stage:
        return "zero-2"
    return "none" if stage == "none" else "zero-1"


def architecture_of(row: Row) -> Architecture:
    """The architecture of a row: its preset, cut to the row's layers where it is a slice, or its own dimensions."""
    if row["architecture_id"]:
        fields = preset_fields(row["architecture_id"])
        if "slice" in row["model_name"]:
            fields["layers"] = int(row["layers"])
            if "experts" in fields:
                fields["experts"] = {**fields["experts"], "dense_layers": DENSE_LAYERS_OF_SLICE}
        fields["multi_token_layers"] = int("MTP" in row["model_name"])
        if row["vocab"]:
            fields["vocabulary"] = int(row["vocab"])
        return Architecture.model_validate(fields)
    fields = {
        "kind": "decoder",
        "layers": int(row["layers"]),
        "width": int(row["hidden"]),
        "heads": int(row["heads"]),
        "kv_heads": int(row["kv_heads"] or row["heads"]),
        "feed_forward_width": int(row["ffn_hidden"]),
        "feed_forward": row["feed_forward"] or "plain",
        "vocabulary": int(row["vocab"] or PADDED_VOCABULARY),
        "positions": "rotary",
        "max_positions": int(row["seq_len"]),
    }
    if row["head_width"]:
        fields["head_width"] = int(float(row["head_width"]))
    if row["experts"]:
        fields["experts"] = {
            "count": int(row["experts"]),
            "per_token": int(row["experts_active"]),
            "shared": int(float(row["experts_shared"] or 0)),
            "width": int(row["ffn_hidden"]),
        }
    return Architecture.model_validate(fields)
