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


def overhead_s(layers: Number, layer_s: Number, exchange_s: Number, accelerators: Number) -> Number:
    """Time of a step in which a replica neither multiplies nor reads: starting kernels, exchanging partial sums.

    Equation: t_o = L (l + x [n > 1]), with L = layers, l = layer_s, x = exchange_s, n = accelerators.

    Args:
        layers: Layers of the stack.
        layer_s: Time of a layer's kernel starts, and its share of the engine's own work [s].
        exchange_s: Time of a layer's two exchanges between accelerators [s].
        accelerators: That share one replica.

    Returns:
        Time [s].

    Source: pope2022inference, section 3.
    """
    return layers * (layer_s + exchange_s * (accelerators > 1))


def prefill_s(computing_s: Number, reading_weights_s: Number, resting_s: Number) -> Number:
    """Time to read a prompt, which is the time to the first token where no other request waits.

    Equation: t_p = max(t_c, t_w) + t_o, with t_c = computing_s, t_w = reading_weights_s, t_o = resting_s.

    Args:
        computing_s: Arithmetic of the prompt [s].
        reading_weights_s: Reading the weights once [s].
        resting_s: Overhead [s].

    Returns:
        Time [s].

    Source: pope2022inference, section 2.
    """
    return larger(computing_s, reading_weights_s) + resting_s


def decode_step_s(matrices: tuple[Number, Number], attention: tuple[Number, Number], resting_s: Number) -> Number:
    """Time of one decode step of a batch: a token each. Matrices and attention take turns, each by its own bound.

    Equation: t_d = max(t_c, t_w) + max(t_a, t_k) + t_o, with t_c, t_w = arithmetic and reading of the weights,
    t_a, t_k = arithmetic and reading of the cache, t_o = resting_s.

    Args:
        matrices: Time of their arithmetic for the whole batch, and of reading them once [s].
        attention: Time of its arithmetic for the whole batch, and of reading every sequence's cache [s].
        resting_s: Overhead [s].

    Returns:
        Time [s].

    Source: pope2022inference, section 2.
    """
    return larger(*matrices) + larger(*attention) + resting_s


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
