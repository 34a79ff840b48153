"""Time of prefill and of a decode step, from the compute-bound and the memory-bound side."""

from __future__ import annotations

from tonne.estimate import Number


def larger(a: Number, b: Number) -> Number:
    """The larger of two numbers, element by element for arrays."""
    return a * (a >= b) + b * (a < b)


def compute_s(flop: Number, accelerators: Number, peak_flop_per_s: Number, peak_fraction: Number) -> Number:
    """Time that the arithmetic of a phase takes.

    Equation: t_c = C / (n P f), with C = flop, n = accelerators, P = peak_flop_per_s, f = peak_fraction.

    Args:
        flop: Work of the phase [FLOP].
        accelerators: That share one replica.
        peak_flop_per_s: Dense peak of one at the precision in which it multiplies [FLOP/s].
        peak_fraction: Share of the peak that large matrices reach.

    Returns:
        Time [s].

    Source: williams2009roofline
    """
    return flop / (accelerators * peak_flop_per_s * peak_fraction)


def reading_s(
    read_bytes: Number, accelerators: Number, bandwidth_bytes_per_s: Number, bandwidth_fraction: Number
) -> Number:
    """Time that reading from the accelerators' memory takes.

    Equation: t_m = D / (n B f), with D = read_bytes, n = accelerators, B = bandwidth_bytes_per_s,
    f = bandwidth_fraction.

    Args:
        read_bytes: Weights, or keys and values [bytes].
        accelerators: That share one replica and what it reads.
        bandwidth_bytes_per_s: Memory bandwidth of one, as sold [bytes/s].
        bandwidth_fraction: Share of it that is reached.

    Returns:
        Time [s].

    Source: williams2009roofline
    """
    return read_bytes / (accelerators * bandwidth_bytes_per_s * bandwidth_fraction)


def exchange_s(exchange_bytes: Number, link_bytes_per_s: Number, link_fraction: Number) -> Number:
    """Time to sum up partial results of the accelerators that share each matrix, two or three times a layer.

    Equation: t_x = D_x / (B_x f), with D_x = exchange_bytes, B_x = link_bytes_per_s, f = link_fraction.

    Args:
        exchange_bytes: That one accelerator sends [bytes].
        link_bytes_per_s: Of one accelerator in one direction, as sold [bytes/s].
        link_fraction: Share of it that is reached.

    Returns:
        Time [s].

    Source: pope2022inference, section 3.
    """
    return exchange_bytes / (link_bytes_per_s * link_fraction)


def overhead_s(layers: Number, layer_s: Number, latency_s: Number, accelerators: Number) -> Number:
    """Time of a step in which a replica neither multiplies nor reads: kernel starts, and the latency of exchanges.

    Equation: t_o = L (l + x [n > 1]), with L = layers, l = layer_s, x = latency_s, n = accelerators.

    Args:
        layers: Layers of the stack.
        layer_s: Time of a layer's kernel starts, and its share of the engine's own work [s].
        latency_s: Time that a layer's exchanges between accelerators take, however little they carry [s].
        accelerators: That share one replica.

    Returns:
        Time [s].

    Source: pope2022inference, section 3.
    """
    return layers * (layer_s + latency_s * (accelerators > 1))


def prefill_s(
    computing_s: Number, exchanging_s: Number, reading_weights_s: Number, resting_s: Number, sharing: Number
) -> Number:
    """Time to read a prompt; with nothing shared, the time to the first token where no other request waits.

    Equation: t_p = max(t_c, t_w / b) + t_x + t_o / b, with t_c = computing_s, t_w = reading_weights_s,
    t_x = exchanging_s, t_o = resting_s, b = sharing.

    Args:
        computing_s: Arithmetic of the prompt [s].
        exchanging_s: Exchanges between accelerators [s].
        reading_weights_s: Reading the weights once [s].
        resting_s: Overhead of one pass [s].
        sharing: Sequences that share a pass: 1 for a prompt alone; a busy server fills its passes.

    Returns:
        Time [s].

    Source: pope2022inference, section 2.
    """
    return larger(computing_s, reading_weights_s / sharing) + exchanging_s + resting_s / sharing


def decode_step_s(
    matrices: tuple[Number, Number], attention: tuple[Number, Number], exchanging_s: Number, resting_s: Number
) -> Number:
    """Time of one decode step of a batch: a token each. Matrices and attention take turns, each by its own bound.

    Equation: t_d = max(t_c, t_w) + max(t_a, t_k) + t_x + t_o, with t_c, t_w = arithmetic and reading of the weights,
    t_a, t_k = arithmetic and reading of the cache, t_x = exchanging_s, t_o = resting_s.

    Args:
        matrices: Time of their arithmetic for the whole batch, and of reading them once [s].
        attention: Time of its arithmetic for the whole batch, and of reading every sequence's cache [s].
        exchanging_s: Exchanges between accelerators [s].
        resting_s: Overhead [s].

    Returns:
        Time [s].

    Source: pope2022inference, section 2.
    """
    return larger(*matrices) + larger(*attention) + exchanging_s + resting_s


def replica_s(prefilling_s: Number, decoding_s: Number, steps: Number, batch_sequences: Number) -> Number:
    """Time of a replica that one request takes, of a batch kept full.

    Equation: t_r = t_p + S t_d / B, with t_p = prefilling_s, S = steps, t_d = decoding_s, B = batch_sequences.

    Args:
        prefilling_s: Reading its prompt [s].
        decoding_s: One decode step of the batch [s].
        steps: Decode steps of the request.
        batch_sequences: Sequences that share each step.

    Returns:
        Time [s]; requests a second are its inverse.

    Source: tonne
    """
    return prefilling_s + steps * decoding_s / batch_sequences
