"""What one stage of a pipeline holds: layers, numbers, micro-batches under way. Layouts may be arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tonne.count.layers import (
    expert_biases,
    expert_layers,
    expert_matrices,
    router_numbers,
    shared_expert_biases,
    shared_expert_matrices,
    stacks,
)
from tonne.count.masks import minimum
from tonne.count.parameters import output_matrices, parameter_parts

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNumbers:
    """Numbers of a model by where a pipeline puts them: per layer, and at its two ends."""

    layers: int
    sparse_layers: float
    dense_first: int
    every_layer: float
    dense_block: float
    expert_block: float  # shared experts and router
    routed: float  # of the experts that tokens are sent to
    one_expert: float
    front: float  # token table, positions, what stands before the layers
    back: float  # output table and heads
    tied: float  # of the front, what the last stage needs a copy of
    further: float  # layers that predict further tokens, without the experts that tokens are sent to
    further_layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: its layers, its numbers on one tensor rank, and whether it is the first or the last."""

    index: int
    dense_layers: float
    sparse_layers: float
    dense_numbers: float
    expert_numbers: float
    largest_layer: float  # numbers of the linears of one layer of each shape that it has, one expert for all
    first: bool
    last: bool

    @property
    def layers(self) -> float:
        """Layers of both kinds."""
        return self.dense_layers + self.sparse_layers


def layer_numbers(architecture: Architecture) -> LayerNumbers:
    """A model's numbers, by where a pipeline puts them; the mean where layers differ in more than having experts."""
    a, experts = architecture, architecture.experts
    parts = parameter_parts(a)
    layers = sum(count for count, _ in stacks(a))
    sparse = sum(expert_layers(a, count) for count, _ in stacks(a))
    every = parts["attention"] + parts["cross_attention"] + parts["norms"] + parts["convolution"]
    block = one = 0
    if experts is not None:
        shared = shared_expert_matrices(a, experts) + shared_expert_biases(a, experts)
        block = shared + router_numbers(a, experts)
        one = expert_matrices(a, experts) + expert_biases(a, experts)
    routed = 0 if experts is None else experts.count * one
    dense = layers - sparse
    return LayerNumbers(
        layers=layers,
        sparse_layers=sparse,
        dense_first=0 if experts is None else experts.dense_layers,
        every_layer=every / layers,
        dense_block=parts["feed_forward"] / (dense + (dense == 0)),
        expert_block=block,
        routed=routed,
        one_expert=one,
        front=parts["embedding"] + parts["positions"],
        back=parts["head"] + parts["task_head"],
        tied=(a.tied_embeddings and a.task_head is None) * output_matrices(a),
        further=parts["multi_token"] - a.multi_token_layers * routed,
        further_layers=a.multi_token_layers,
    )


def stage_of(numbers: LayerNumbers, index: int, *, tensor: int, pipeline: int, expert: int) -> Stage:
    """The stage of an index, the layers dealt out in order and the fullest stages having the most.

    Args:
        numbers: Of the model.
        index: Of the stage, counted from 0.
        tensor: Accelerators that share each matrix.
        pipeline: Stages.
        expert: Accelerators that share the experts.
    """
    n = numbers
    layers = -(-n.layers // pipeline)
    before = minimum(n.dense_first, index * layers)
    dense_first = minimum(n.dense_first - before, layers)
    later = n.layers - n.dense_first
    share = n.sparse_layers / (later + (later == 0))
    sparse = (layers - dense_first) * share
    dense = layers - sparse
    first, last = index == 0, index == pipeline - 1
    back = n.back + n.further + (pipeline > 1) * n.tied
    split = layers * n.every_layer + dense * n.dense_block + sparse * n.expert_block + first * n.front + last * back
    largest = n.every_layer + (dense > 0) * n.dense_block + (sparse > 0) * (n.expert_block + n.one_expert)
    return Stage(
        index=index,
        dense_layers=dense,
        sparse_layers=sparse,
        dense_numbers=split / tensor,
        expert_numbers=(sparse + last * n.further_layers) * n.routed / (tensor * expert),
        largest_layer=largest / tensor,
        first=first,
        last=last,
    )


def stages_to_try(numbers: LayerNumbers, pipeline: int) -> tuple[int, ...]:
    """Indices among which the fullest stage is: the first, the first without dense layers, the last."""
    layers = -(-numbers.layers // pipeline)
    without = minimum(-(-numbers.dense_first // layers), pipeline - 1)
    found = (0, without, pipeline - 1)
    if all(isinstance(index, int) for index in found):
        return tuple(dict.fromkeys(found))
    return found if numbers.dense_first else (found[0], found[2])


def micro_batches_under_way(
    index: int, *, pipeline: int, virtual_pipeline_stages: int = 1, micro_batches: int | None = None
) -> float:
    """Micro-batches of which a stage keeps what all its layers need for the backward pass.

    Equation: p - i under one forward, one backward; interleaved (2 (p - i - 1) + (v - 1) p + 1) / v, which in the first
    stage is p (1 + (p - 1) / (p v)); at most m, with p = pipeline, i = index, v = virtual_pipeline_stages,
    m = micro_batches.

    Source: korthikanti2022recomputation, section 4.2.3; narayanan2021megatron, section 2.2.
    """
    p, v = pipeline, virtual_pipeline_stages
    plain, interleaved = p - index, (2 * (p - index - 1) + (v - 1) * p + 1) / v
    under_way = (v == 1) * plain + (v > 1) * interleaved
    return under_way if micro_batches is None else minimum(under_way, micro_batches)
