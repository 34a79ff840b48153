"""What a training framework holds in memory beyond what the mathematics needs."""

from __future__ import annotations

from dataclasses import dataclass

SIXTEEN_BIT, THIRTY_TWO_BIT = 2, 4
FULL_PRECISION = ("fp32", "tf32")
SPLIT_SEQUENCE = {"megatron-lm", "megatron-bridge", "nemo", "transformer-engine"}  # and sum gradients in 32 bits
FUSED_LOSS = {"megatron-bridge", "nemo", "llm-foundry"}  # by default
PARTLY_RECOMPUTED = {"fsdp", "fms-fsdp", "torchtitan", "pytorch", "transformers"}  # what they call selective
COPIED_WEIGHTS = {"megatron-lm", "transformer-engine"}  # both ways round, beside the 16-bit ones
NO_DROPOUT = {"llm-foundry"}
INPUT_BYTES = {"fp8": 1.0, "fp4": 0.5625}  # 4 bits, and one 8-bit scale for 16 of them
SUMMED_IN_32_BITS = {"megatron-deepspeed"}  # in bf16: BLOOM's optimizer
EAGER = {"llm-foundry", "deepspeed", "transformers", "pytorch", "fsdp"}  # as they come: each operation by itself
FUSED_BY_HAND = SPLIT_SEQUENCE | {"megatron-deepspeed"}
COMPILED = {"fms-fsdp", "torchtitan", "maxtext", "levanter", "nanochat"}  # by torch.compile, or XLA
UNKNOWN_EAGER = 0.5  # half way, in logarithms
FITTED_EAGER = {"llm-foundry"}  # what its operations cost unfused is in the fit
SIDE_BY_SIDE = 3  # 32-bit copy of the logits, softmax, gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a framework keeps what it needs.

    ``gradient_bytes`` of each number until the optimizer's step [bytes]; ``sums_apart``: a layer's gradient is made
    beside the sum that it is added to; ``sequence_parallel``: tensor ranks share the sequence between the matrices;
    ``logit_bytes`` of each logit at the peak [bytes]; ``input_bytes`` of what is kept as a matrix's input alone, left
    out: as other numbers [bytes]; ``copy_bytes`` of each weight for products of fewer bits [bytes]; ``dropout``: of
    models with layer norms; ``selects_products``: selective
    recomputation keeps every second product's output, and not all but the scores.
    """

    gradient_bytes: int = SIXTEEN_BIT
    sums_apart: bool = False
    sequence_parallel: bool = True
    logit_bytes: int = SIDE_BY_SIDE * THIRTY_TWO_BIT
    input_bytes: float | None = None
    copy_bytes: float = 0.0
    dropout: bool = True
    selects_products: bool = False


def habits_of(
    framework: str, precision: str, *, fused_loss: bool | None = None, sequence: bool | None = None
) -> Habits:
    """Habits of a framework: those of Megatron-LM and its kin are known, the others are PyTorch's own.

    Args:
        framework: As in a plan.
        precision: As in a plan.
        fused_loss: The loss is computed with its gradient in the logits' place; left out: as the framework does.
        sequence: Tensor ranks share the sequence between the matrices; left out: as the framework does.

    Source: korthikanti2022recomputation, section 4.
    """
    name = framework.lower()
    width = THIRTY_TWO_BIT if precision in FULL_PRECISION else SIXTEEN_BIT
    megatron, deepspeed = name in SPLIT_SEQUENCE, name in SUMMED_IN_32_BITS
    fused = name in FUSED_LOSS if fused_loss is None else fused_loss
    plain = width + THIRTY_TWO_BIT if megatron or deepspeed else SIDE_BY_SIDE * THIRTY_TWO_BIT
    summed = deepspeed and precision == "bf16"
    gradient = THIRTY_TWO_BIT if megatron else width + THIRTY_TWO_BIT * summed
    return Habits(
        gradient_bytes=gradient,
        sums_apart=megatron and width < THIRTY_TWO_BIT,
        sequence_parallel=shares_sequence(framework, sequence),
        logit_bytes=width if fused else plain,
        input_bytes=INPUT_BYTES.get(precision) if megatron else None,
        copy_bytes=2 * INPUT_BYTES.get(precision, 0.0) if name in COPIED_WEIGHTS else 0.0,
        dropout=name not in NO_DROPOUT,
        selects_products=name in PARTLY_RECOMPUTED,
    )


def shares_sequence(framework: str, sequence: bool | None = None) -> bool:
    """Whether tensor ranks share the sequence between the matrices, so that norms and residuals lie there once.

    Args:
        framework: As in a plan.
        sequence: As in a plan; left out: as the framework does, and all but BLOOM's do.

    Source: korthikanti2022recomputation, section 4.2.
    """
    return framework.lower() not in SUMMED_IN_32_BITS if sequence is None else sequence


def eager_share(framework: str, compiled: bool | None = None) -> float:
    """How much of the element-wise work runs unfused: 1 operation by operation, 0 fused, between where unknown.

    Args:
        framework: As in a plan; Megatron's and its kin's kernels are fused by hand, compiled or not.
        compiled: As in a plan; left out: as the framework does.

    Source: torchtitan2024benchmarks, performance tables.
    """
    name = framework.lower()
    if name in FUSED_BY_HAND:
        return 0.0
    if compiled is not None:
        return float(not compiled)
    return 1.0 if name in EAGER else 0.0 if name in COMPILED else UNKNOWN_EAGER


def fusion_is_known(framework: str, compiled: bool | None = None) -> bool:
    """Whether what its element-wise work costs was measured: fused, or as llm-foundry runs it.

    Args:
        framework: As in a plan.
        compiled: As in a plan; left out: as the framework does.
    """
    name = framework.lower()
    fused = eager_share(framework, compiled) == 0.0
    return fused or (name in FITTED_EAGER and compiled is None)
