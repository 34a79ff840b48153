"""Time of the work on one accelerator: matrix products, attention, and what only moves numbers."""

from __future__ import annotations

from tonne.estimate import Number


def product_s(
    flop: Number,
    moved_bytes: Number,
    peak_flop_per_s: Number,
    memory_bytes_per_s: Number,
    fitted: tuple[Number, Number],
) -> Number:
    """Time of matrix products.

    Equation: t = F / (P e) + k B / M, with F = flop, P = peak_flop_per_s, B = moved_bytes, M = memory_bytes_per_s,
    fitted = (e, k): the share of the peak that large products reach, and how often their operands are moved. The
    second term is what small or narrow products lose.

    Args:
        flop: Of the products [FLOP].
        moved_bytes: Operands and results, each once [byte].
        peak_flop_per_s: Dense peak of the precision [FLOP/s].
        memory_bytes_per_s: Of the accelerator's memory [byte/s].
        fitted: Share of the peak, and the multiple of the operands' bytes.

    Returns:
        Time [s].

    Source: williams2009roofline
    """
    share, traffic = fitted
    return flop / (peak_flop_per_s * share) + traffic * moved_bytes / memory_bytes_per_s


def attention_s(flop: Number, length: Number, peak_flop_per_s: Number, fitted: tuple[Number, Number]) -> Number:
    """Time of the attention's scores and of the sums over values.

    Equation: t = F / (P e) (1 + s_0 / s), with F = flop, P = peak_flop_per_s, s = length, fitted = (e, s_0).

    Args:
        flop: As the kernel does it, forward and backward [FLOP].
        length: Of the sequence [token].
        peak_flop_per_s: Dense 16-bit peak [FLOP/s].
        fitted: Share of the peak for long sequences, and the length at which half of that is reached [token].

    Returns:
        Time [s].

    Source: dao2023flashattention2, section 4.1.
    """
    share, half_length = fitted
    return flop / (peak_flop_per_s * share) * (1 + half_length / length)


def softmax_s(pairs: Number, vector_flop_per_s: Number, operations: Number) -> Number:
    """Time of what attention does with a score beside the products: scaling, maximum, exponential, sum.

    Equation: t = c n / V, with n = pairs, V = vector_flop_per_s, c = operations. It does not depend on the width of a
    head, so narrow heads lose most by it.

    Args:
        pairs: Scores, once for each pass over them.
        vector_flop_per_s: 32-bit peak [FLOP/s].
        operations: Of one score and pass that the products do not hide.

    Returns:
        Time [s].

    Source: shah2024flashattention3, section 3.2.
    """
    return operations * pairs / vector_flop_per_s


def moving_s(numbers: Number, width_bytes: Number, memory_bytes_per_s: Number, traffic: Number) -> Number:
    """Time of operations that read and write and hardly compute.

    Equation: t = k n w / M, with n = numbers, w = width_bytes, M = memory_bytes_per_s, k = traffic.

    Args:
        numbers: Read and written.
        width_bytes: Of one [byte].
        memory_bytes_per_s: Of the accelerator's memory [byte/s].
        traffic: Multiple of the numbers that is really moved; below 1 where operations are fused.

    Returns:
        Time [s].

    Source: williams2009roofline
    """
    return traffic * numbers * width_bytes / memory_bytes_per_s
