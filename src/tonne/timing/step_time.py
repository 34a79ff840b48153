"""Time of one training step, part by part, from its work, its machine and fitted coefficients. Floats or arrays."""

from __future__ import annotations

from collections.abc import Mapping

from tonne.count.masks import minimum
from tonne.count.step import GRADIENT_AND_WEIGHT_BYTES, OPTIMIZER_BYTES
from tonne.estimate import Number
from tonne.timing.collectives import exposed_s, group_bytes_per_s, routed_s
from tonne.timing.operations import attention_s, moving_s, product_s

SIXTEEN_BIT = 2
Values = Mapping[str, Number]


def step_time_s(x: Values, c: Values) -> Number:
    """Time of one step, nothing lost between steps.

    Args:
        x: What is done where: the figures of ``StepWork``, ``Layout`` and ``Machine``, and a few of the run's, by name.
        c: Coefficients by role, for this machine, precision and software.

    Returns:
        Time [s]; parts add up to it.
    """
    parts = step_parts(x, c)
    total = parts["matrices"]
    for name, part in parts.items():
        total = total + part if name != "matrices" else total
    return total


def step_parts(x: Values, c: Values) -> dict[str, Number]:
    """Seconds of a step: matrices, experts, attention, moving, launches, tensor, context, routing, pipeline, bubble,
    sharding and optimizer.

    Equation: t = m (1 + b (p - 1) / (m v)) (sum of a micro-batch's parts) + exposed sharding + optimizer + fixed, with
    m = micro_batches, p = pipeline, v = virtual_pipeline_stages, b = bubble.

    Source: narayanan2021megatron, section 2.2.
    """  # noqa: D205 - the list of parts is the summary
    computing = _computing(x, c)
    parts = {**computing, **_messages(x, c, computing["attention"])}
    together = x["micro_batches"]
    parts = {name: together * value for name, value in parts.items()}
    steady = sum(parts.values())
    filled = 1 + c["bubble"] * (x["pipeline"] - 1) / (together * x["virtual_pipeline_stages"])
    parts["bubble"] = (filled - 1) * steady
    last = minimum(steady / together * x["pipeline"], steady * filled)  # the last micro-batch runs through all stages
    parts["sharding"] = _sharding(x, c, steady * filled, last)
    shared = x["weights"] - x["expert_weights"]
    own = shared / x["sharded_over"] + x["expert_weights"] / x["experts_sharded_over"]
    optimizer = own * OPTIMIZER_BYTES / x["memory_bytes_per_s"]
    parts["optimizer"] = optimizer * x["weight_gradients"] + c["step_s"]
    return parts


def _computing(x: Values, c: Values) -> dict[str, Number]:
    width, memory = x["matrix_width_bytes"], x["memory_bytes_per_s"]
    state = _state_bytes(x)
    dense = product_s(
        x["matrix_flop"],
        x["matrix_numbers"] * width,
        x["peak_flop_per_s"],
        memory,
        (c["matrix_share"], c["matrix_traffic"]),
    )
    plain = product_s(x["plain_flop"], 0.0, x["peak_16_bit_flop_per_s"], memory, (c["plain_share"], 0.0))
    older = _older(x, c["mixture_older"])
    unfused = c["eager"] ** x["eager"]
    experts = product_s(
        x["expert_flop"],
        x["expert_numbers"] * width,
        x["peak_flop_per_s"],
        memory,
        (c["matrix_share"] * c["expert_share"], c["matrix_traffic"]),
    )
    scores = attention_s(
        x["score_flop"], x["length"], x["peak_16_bit_flop_per_s"], (c["score_share"], c["score_length"])
    )
    return {
        "matrices": older * (dense + plain),
        "experts": older * experts,
        "attention": older * (scores + moving_s(x["score_numbers"], state, memory, 1.0)),
        "moving": older
        * (
            moving_s(x["element_numbers"], state, memory, c["element_traffic"] * unfused)
            + moving_s(x["cast_numbers"], 1.0, memory, c["cast_traffic"])
            + moving_s(x["permuted_numbers"], state, memory, c["permute_traffic"])
            + moving_s(x["logit_numbers"], state, memory, c["logit_traffic"] * unfused)
        ),
        "launches": _launches(x, c),
    }


def _launches(x: Values, c: Values) -> Number:
    """What starting operations costs: of a layer with experts much, for its shapes are known only when it runs."""
    host = 1 + x["host_beside"] * (c["host_beside"] - 1)
    experts = x["expert_layers"] * c["expert_layer_s"] * host * _older(x, c["expert_layer_older"])
    dense = (x["layers"] - x["expert_layers"]) * c["layer_s"] * c["eager"] ** x["eager"]
    return dense + experts + c["micro_batch_s"]


def _state_bytes(x: Values) -> Number:
    """Bytes of a number between the products: two, or four in a run of 32 bits [byte]."""
    return SIXTEEN_BIT * (1 + x["wide"])


def _older(x: Values, per_year: Number) -> Number:
    """How much longer an older release takes: what serves mixtures of experts still changes fast."""
    return 1 + x["mixture"] * (per_year ** x["years_older"] - 1)


def _messages(x: Values, c: Values, attention: Number) -> dict[str, Number]:
    state = _state_bytes(x)
    link, network = x["link_bytes_per_s"] * c["link_share"], x["network_bytes_per_s"] * c["network_share"]

    def rate(members: Number, inner: Number) -> Number:
        return group_bytes_per_s(members, inner, x["domain"], link, network)

    routed = routed_s(x["routed_numbers"] * state, x["per_token"], x["expert"], x["domain"], (link, network))
    inner = x["tensor"] * x["context"] * x["data"]
    return {
        "tensor": c["tensor_exposed"] * state * x["tensor_numbers"] / rate(x["tensor"], 1.0),
        "context": exposed_s(
            state * x["context_numbers"] / rate(x["context"], x["tensor"]), attention, c["context_exposed"], 1.0
        ),
        "routing": c["routing_exposed"] * routed * _older(x, c["routing_older"]),
        "pipeline": c["pipeline_exposed"] * state * x["pipeline_numbers"] / rate(x["pipeline"], inner),
    }


def _sharding(x: Values, c: Values, compute_s: Number, last_s: Number) -> Number:
    """Weights gathered and gradients reduced over the copies: once a step, or with every micro-batch.

    Routed experts have fewer copies: an accelerator of each tensor rank holds others.
    """
    link, network = x["link_bytes_per_s"] * c["link_share"], x["network_bytes_per_s"] * c["network_share"]
    shared = x["weights"] - x["expert_weights"]
    once = _over_copies(shared, x["copies"], group_bytes_per_s(x["copies"], x["tensor"], x["domain"], link, network))
    rate = group_bytes_per_s(x["expert_copies"], x["expert"], x["domain"], link, network)
    once = once + _over_copies(x["expert_weights"], x["expert_copies"], rate)
    m, state = x["micro_batches"], _state_bytes(x)
    gathered = state - SIXTEEN_BIT  # what a weight of 32 bits adds to the gathering of 16-bit ones
    whole_step = exposed_s((GRADIENT_AND_WEIGHT_BYTES + gathered) * once, last_s, c["data_exposed"], c["shard_overlap"])
    gradients_often = exposed_s(state * (1 + m) * once, compute_s, c["shard_exposed"], c["shard_overlap"])
    gathered_and_reduced = state * (2 + x["weight_gradients"])  # weights twice, gradients once
    all_often = exposed_s(gathered_and_reduced * m * once, compute_s, c["shard_exposed"], c["shard_overlap"])
    plain = 1 - x["zero_2"] - x["zero_3"]
    learning = plain * whole_step + x["zero_2"] * gradients_often
    return x["weight_gradients"] * learning + x["zero_3"] * all_often


def _over_copies(numbers: Number, copies: Number, bytes_per_s: Number) -> Number:
    """Time to pass one byte of every number round a ring of copies; none where there is one copy."""
    return numbers * (copies - 1) / copies / bytes_per_s
