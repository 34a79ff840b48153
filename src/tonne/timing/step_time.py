"""Time of one training step, part by part, from its work, its machine and fitted coefficients. Floats or arrays."""

from __future__ import annotations

from collections.abc import Mapping

from tonne.count.step import GRADIENT_AND_WEIGHT_BYTES, OPTIMIZER_BYTES
from tonne.estimate import Number
from tonne.timing.collectives import exposed_s, group_bytes_per_s, rounded_minimum, routed_s
from tonne.timing.operations import attention_s, moving_s, product_s, softmax_s

SIXTEEN_BIT = 2
Values = Mapping[str, Number]


def step_time_s(x: Values, c: Values, softness: float = 0.0) -> Number:
    """Time of one step, nothing lost between steps.

    Args:
        x: What is done where: the figures of ``StepWork``, ``Layout`` and ``Machine``, and a few of the run's, by name.
        c: Coefficients by role, for this machine, precision and software.
        softness: How far corners are rounded where the longer or the smaller of two counts; zero but for fits, which
            need a slope everywhere.

    Returns:
        Time [s]; parts add up to it.
    """
    parts = step_parts(x, c, softness)
    total = parts["matrices"]
    for name, part in parts.items():
        total = total + part if name != "matrices" else total
    return total


def step_parts(x: Values, c: Values, softness: float = 0.0) -> dict[str, Number]:
    """Seconds of a step: matrices, experts, attention, moving, launches, tensor, context, routing, pipeline, bubble,
    sharding and optimizer.

    Equation: t = m (1 + b (p - 1) / (m v)) (sum of a micro-batch's parts) + exposed sharding + optimizer + fixed, with
    m = micro_batches, p = pipeline, v = virtual_pipeline_stages, b = bubble.

    Source: narayanan2021megatron, section 2.2.
    """  # noqa: D205 - the list of parts is the summary
    computing = _computing(x, c)
    parts = {**computing, **_messages(x, c, computing["attention"], softness)}
    together = x["micro_batches"]
    parts = {name: together * value for name, value in parts.items()}
    steady = sum(parts.values())
    filled = 1 + c["bubble"] * (x["pipeline"] - 1) / (together * x["virtual_pipeline_stages"])
    parts["bubble"] = (filled - 1) * steady
    through = steady / together * x["pipeline"]  # of the last micro-batch, through all stages
    beside = steady * filled, rounded_minimum(through, steady * filled, softness)
    parts["sharding"] = _sharding(x, c, beside, softness)
    shared = x["weights"] - x["expert_weights"]
    own = shared / x["sharded_over"] + x["expert_weights"] / x["experts_sharded_over"]
    optimizer = own * OPTIMIZER_BYTES / x["memory_bytes_per_s"]
    parts["optimizer"] = optimizer * x["weight_gradients"] + c["step_s"]
    return parts


def _computing(x: Values, c: Values) -> dict[str, Number]:
    width, memory = x["matrix_width_bytes"], x["memory_bytes_per_s"]
    faster = _where(x["ultra"], c["ultra"])
    share = c["matrix_share"] * faster
    peak, plain_peak = x["peak_flop_per_s"], x["peak_16_bit_flop_per_s"]
    traffic = c["matrix_traffic"]
    dense = product_s(x["matrix_flop"], x["matrix_numbers"] * width, peak, memory, (share, traffic))
    plain = product_s(x["plain_flop"], 0.0, plain_peak, memory, (c["plain_share"] * faster, 0.0))
    grouped = (share * c["expert_share"], traffic)
    experts = product_s(x["expert_flop"], x["expert_numbers"] * width, peak, memory, grouped)
    older = _older(x, c["mixture_older"])
    return {
        "matrices": older * (dense + plain),
        "experts": older * experts,
        "attention": older * _attention(x, c),
        "moving": older * _moving(x, c),
        "launches": _launches(x, c) + older * _expert_launches(x, c),
    }


def _attention(x: Values, c: Values) -> Number:
    """Products of the scores, what is done with a score beside them, and scores that are stored."""
    peak = x["peak_16_bit_flop_per_s"] + x["low_attention"] * (x["peak_flop_per_s"] - x["peak_16_bit_flop_per_s"])
    products = attention_s(x["score_flop"], x["length"], peak, (c["score_share"], c["score_length"]))
    rest = softmax_s(x["score_pairs"], x["vector_flop_per_s"], c["score_operations"])
    return products + rest + moving_s(x["score_numbers"], _state_bytes(x), x["memory_bytes_per_s"], 1.0)


def _moving(x: Values, c: Values) -> Number:
    memory, state, unfused = x["memory_bytes_per_s"], _state_bytes(x), _unfused(x, c)
    return (
        moving_s(x["element_numbers"], state, memory, c["element_traffic"] * unfused)
        + moving_s(x["cast_numbers"], 1.0, memory, c["cast_traffic"])
        + moving_s(x["permuted_numbers"], state, memory, c["permute_traffic"])
        + moving_s(x["biased_numbers"], state, memory, 1.0)  # counted operation by operation: none is fused
        + moving_s(x["logit_numbers"], state, memory, c["logit_traffic"] * unfused)
    )


def _launches(x: Values, c: Values) -> Number:
    """What starting operations costs where their shapes are known."""
    return (x["layers"] - x["expert_layers"]) * c["layer_s"] * _unfused(x, c) + c["micro_batch_s"]


def _expert_launches(x: Values, c: Values) -> Number:
    """The same of layers with experts: shapes are known only when they run, so the host waits for the accelerator.

    Less of that is left where the whole step is one graph or experts have a capacity, for then shapes are fixed; more
    where a plain exchange wants the counts of tokens on the host.
    """
    host = _where(x["host_beside"], c["host_beside"]) * _where(x["copied"], c["copied_launches"])
    left = _where(x["graphed_step"], c["graphed_launches"]) * _where(x["capacity"], c["capacity_launches"])
    return x["expert_layers"] * c["expert_layer_s"] * host * left


def _where(share: Number, factor: Number) -> Number:
    """A factor where something holds, one where it does not."""
    return 1 + share * (factor - 1)


def _unfused(x: Values, c: Values) -> Number:
    """How much more operations beside the products move and launch where nothing fuses them."""
    return c["eager"] ** x["eager"]


def _state_bytes(x: Values) -> Number:
    """Bytes of a number between the products: two, or four in a run of 32 bits [byte]."""
    return SIXTEEN_BIT * (1 + x["wide"])


def _older(x: Values, per_year: Number) -> Number:
    """How much longer an older release takes: what serves mixtures of experts still changes fast."""
    return _where(x["mixture"], per_year ** x["years_older"])


def _messages(x: Values, c: Values, attention: Number, softness: float) -> dict[str, Number]:
    state = _state_bytes(x)
    link, network = x["link_bytes_per_s"] * c["link_share"], x["network_bytes_per_s"] * c["network_share"]

    def rate(members: Number, inner: Number) -> Number:
        return group_bytes_per_s(members, inner, x["domain"], link, network, softness)

    sent = x["routed_numbers"] * state
    routed = routed_s(sent, x["per_token"], x["expert"], x["domain"], (link, network), x["copied"])
    seen = c["routing_exposed"] * _where(x["overlapped"], c["overlapped_exposed"])
    inner = x["tensor"] * x["context"] * x["data"]
    context = state * x["context_numbers"] / rate(x["context"], x["tensor"])
    return {
        "tensor": c["tensor_exposed"] * state * x["tensor_numbers"] / rate(x["tensor"], 1.0),
        "context": exposed_s(context, attention, c["context_exposed"], 1.0, softness),
        "routing": seen * routed * _older(x, c["mixture_older"]),
        "pipeline": c["pipeline_exposed"] * state * x["pipeline_numbers"] / rate(x["pipeline"], inner),
    }


def _sharding(x: Values, c: Values, beside: tuple[Number, Number], softness: float) -> Number:
    """Weights gathered and gradients reduced over the copies: once a step, or with every micro-batch.

    ``beside``: seconds of computing that hide messages of every micro-batch, and those that come once a step. Routed
    experts have fewer copies: an accelerator of each tensor rank holds others.
    """
    compute_s, last_s = beside
    link, network = x["link_bytes_per_s"] * c["link_share"], x["network_bytes_per_s"] * c["network_share"]
    shared = x["weights"] - x["expert_weights"]
    once = _over_copies(
        shared, x["copies"], group_bytes_per_s(x["copies"], x["tensor"], x["domain"], link, network, softness)
    )
    rate = group_bytes_per_s(x["expert_copies"], x["expert"], x["domain"], link, network, softness)
    once = once + _over_copies(x["expert_weights"], x["expert_copies"], rate)
    m, state = x["micro_batches"], _state_bytes(x)
    gathered = state - SIXTEEN_BIT  # what a weight of 32 bits adds to the gathering of 16-bit ones
    overlap = c["shard_overlap"]
    message_s = (GRADIENT_AND_WEIGHT_BYTES + gathered) * once
    whole_step = exposed_s(message_s, last_s, c["data_exposed"], overlap, softness)
    gradients_often = exposed_s(state * (1 + m) * once, compute_s, c["shard_exposed"], overlap, softness)
    gathered_and_reduced = state * (2 + x["weight_gradients"])  # weights twice, gradients once
    all_often = exposed_s(gathered_and_reduced * m * once, compute_s, c["shard_exposed"], overlap, softness)
    plain = 1 - x["zero_2"] - x["zero_3"]
    learning = plain * whole_step + x["zero_2"] * gradients_often
    return x["weight_gradients"] * learning + x["zero_3"] * all_often


def _over_copies(numbers: Number, copies: Number, bytes_per_s: Number) -> Number:
    """Time to pass one byte of every number round a ring of copies; none where there is one copy."""
    return numbers * (copies - 1) / copies / bytes_per_s
