"""Where a token stands: sinusoidal tables, rotations, T5's buckets, ALiBi's slopes, DeBERTa's rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tonne.errors import DescriptionError

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.numerics import RotaryScaling

SINUSOIDAL_BASE = 10000.0  # vaswani2017attention, section 3.5
Rotation = tuple[torch.Tensor, torch.Tensor]  # cosines and sines, (batch or 1, length, 1, rotary width)


def sinusoids(positions: torch.Tensor, width: int, order: str = "interleaved") -> torch.Tensor:
    """Sines and cosines of positions.

    Equation: PE(p, 2i) = sin(p / 10000^(2i / d)), PE(p, 2i + 1) = cos(p / 10000^(2i / d)), with p = positions,
    d = width.

    Args:
        positions: Positions (...) [token].
        width: Width of the result.
        order: ``interleaved`` as in the equation; ``halves``: all sines, then all cosines; ``fairseq``: so too, with
            frequencies that end at 1 / 10000 itself.

    Returns:
        (..., width), in fp64.

    Source: vaswani2017attention, section 3.5.
    """
    half = width // 2 if order == "fairseq" else (width + 1) // 2
    steps = torch.arange(half, dtype=torch.float64, device=positions.device)
    exponent = steps / max(half - 1, 1) if order == "fairseq" else 2 * steps / width
    angles = positions.to(torch.float64)[..., None] * SINUSOIDAL_BASE**-exponent
    sine, cosine = angles.sin(), angles.cos()
    if order == "interleaved":
        return torch.stack([sine, cosine], -1).flatten(-2)[..., :width]
    both = torch.cat([sine, cosine], -1)[..., :width]
    missing = width - both.shape[-1]
    return torch.nn.functional.pad(both, (0, missing)) if missing else both


def rotation(architecture: Architecture, positions: torch.Tensor, dtype: torch.dtype, *, window: bool) -> Rotation:
    """Cosines and sines by which the queries and keys of these positions are turned.

    Equation: f(x, p) = (x_2i cos(p t_i) - x_2i+1 sin(p t_i), x_2i sin(p t_i) + x_2i+1 cos(p t_i)),
    t_i = base^(-2i / d), with p = positions, d = rotary width.

    Args:
        architecture: Shape of the model, with its base and scaling.
        positions: (batch or 1, length) [token].
        dtype: Type of the result.
        window: For the layers that see a window, which may have a base of their own.

    Source: su2021roformer, section 3.4.
    """
    a = architecture
    width = turned_width(a)
    own = window and a.window_rotary_base is not None
    base = a.window_rotary_base if window and a.window_rotary_base is not None else a.rotary_base
    frequencies, magnitude = _frequencies(base, width, None if own else a.rotary_scaling, positions)
    angles = positions[..., None].to(torch.float64) * frequencies  # (B, T, width / 2)
    angles = angles.repeat_interleave(2, -1) if a.rotary_interleaved else torch.cat([angles, angles], -1)
    angles = angles[:, :, None]  # (B, T, 1, width): one rotation for all heads
    return (angles.cos() * magnitude).to(dtype), (angles.sin() * magnitude).to(dtype)


def turned_width(architecture: Architecture) -> int:
    """How much of a head's queries and keys is turned."""
    a = architecture
    if a.latent_attention is not None:
        return a.latent_attention.rotary_width
    return a.head_width if a.rotary_width is None else min(a.rotary_width, a.head_width)


def rotated(states: torch.Tensor, by: Rotation, *, interleaved: bool) -> torch.Tensor:
    """Queries or keys (batch, length, heads, width), their first part turned.

    Equation: as for ``rotation``; pairs are neighbours, or the two halves.
    """
    cosine, sine = by
    width = cosine.shape[-1]
    turned, kept = (
        (states, None) if states.shape[-1] == width else torch.split(states, [width, states.shape[-1] - width], -1)
    )
    if interleaved:
        swapped = torch.stack([-turned[..., 1::2], turned[..., ::2]], -1).flatten(-2)
    else:
        first, second = turned.chunk(2, -1)
        swapped = torch.cat([-second, first], -1)
    turned = (turned * cosine + swapped * sine).type_as(states)  # under autocast the sines are the wider type
    return turned if kept is None else torch.cat([turned, kept], -1)


def _frequencies(
    base: float, width: int, scaling: RotaryScaling | None, positions: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Angle a position, one a pair (width / 2), and what cosines and sines are multiplied by."""
    if width % 2:
        raise DescriptionError(f"rotary positions turn pairs, but their width is {width}. Give an even rotary_width.")
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    frequencies = base**-exponents
    if scaling is None:
        return frequencies, 1.0
    if scaling.kind == "linear":
        return frequencies / scaling.factor, 1.0
    original = scaling.original_positions
    if original is None:
        raise DescriptionError(
            f"rotary_scaling.kind = {scaling.kind!r} needs original_positions, the length that the model was trained "
            f"on. Give it, e.g. original_positions = 8192."
        )
    if scaling.kind == "dynamic":
        return _dynamic(base, exponents, scaling.factor, original, positions), 1.0
    if scaling.kind == "llama3":
        return _llama3(frequencies, scaling, original), 1.0
    magnitude = 0.1 * math.log(scaling.factor) + 1 if scaling.magnitude is None else scaling.magnitude
    return _yarn(base, frequencies, scaling, original), magnitude


def _dynamic(
    base: float, exponents: torch.Tensor, factor: float, original: int, positions: torch.Tensor
) -> torch.Tensor:
    """A base that grows with the sequence, once that is longer than what was trained on."""
    length = positions.max() + 1
    stretch = (factor * length / original - (factor - 1)).clamp(min=1.0)
    width = 2 * exponents.numel()
    return (base * stretch.to(torch.float64) ** (width / (width - 2))) ** -exponents


def _llama3(frequencies: torch.Tensor, scaling: RotaryScaling, original: int) -> torch.Tensor:
    """Wavelengths beyond the low bound are stretched, those below the high one kept, others mixed by their place."""
    turns = original * frequencies / (2 * math.pi)  # rotations within the length trained on
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - kept) * frequencies / scaling.factor + kept * frequencies


def _yarn(base: float, frequencies: torch.Tensor, scaling: RotaryScaling, original: int) -> torch.Tensor:
    """Pairs that turn more than the fast bound are kept, those below the slow one stretched, a ramp between."""
    pairs = frequencies.numel()

    def pair_of(turns: float) -> float:
        return pairs * math.log(original / (turns * 2 * math.pi)) / math.log(base)

    low, high = pair_of(scaling.fast_rotations), pair_of(scaling.slow_rotations)
    if scaling.truncated:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * pairs - 1)
    steps = torch.arange(pairs, dtype=torch.float64, device=frequencies.device)
    stretched = ((steps - low) / max(high - low, 0.001)).clamp(0, 1)
    return stretched * frequencies / scaling.factor + (1 - stretched) * frequencies


def t5_buckets(distance: torch.Tensor, buckets: int, longest: int, *, causal: bool) -> torch.Tensor:
    """The row of T5's table for each distance, key minus query.

    Half of the rows hold one distance each, the others ever larger ranges up to ``longest``. Without a causal mask one
    half of the rows is for keys before the query, the other for those after it.

    Args:
        distance: (queries, keys), or with a batch before [token].
        buckets: Rows of the table.
        longest: Distance beyond which all share the last row [token].
        causal: Whether no key stands after its query.

    Source: raffel2020t5, section 2.1.
    """
    rows = buckets if causal else buckets // 2
    after = 0 if causal else (distance > 0).long() * rows
    far = (-distance).clamp(min=0) if causal else distance.abs()
    exact = rows // 2
    ratio = torch.log(far.clamp(min=1).float() / exact) / math.log(longest / exact)
    coarse = (exact + (ratio * (rows - exact)).long()).clamp(max=rows - 1)
    return after + torch.where(far < exact, far, coarse)


def alibi_slopes(heads: int) -> list[float]:
    """ALiBi's slope for each head.

    Equation: 2^(-8 h / n), h = 1 ... n, for a number of heads n that is a power of two; else those of the next lower
    power, and every second one of the next higher.

    Source: press2021alibi, section 3.
    """
    lower = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * head / lower) for head in range(1, lower + 1)]
    more = [2 ** (-8 * head / (2 * lower)) for head in range(1, 2 * lower + 1, 2)]
    return slopes + more[: heads - lower]


def deberta_rows(distance: torch.Tensor, rows: int, longest: int | None) -> torch.Tensor:
    """The row of DeBERTa's table for each distance, query minus key.

    Args:
        distance: (queries, keys), or with a batch before [token].
        rows: Rows of the table, half of them for either direction.
        longest: Where distances beyond a quarter of the rows share buckets, the largest that is told apart [token].

    Source: he2020deberta, section 3.1, equation 3.
    """
    span = rows // 2
    if longest is not None:
        middle = span // 2
        far = distance.abs().clamp(min=middle)
        coarse = torch.ceil(torch.log(far / middle) / math.log((longest - 1) / middle) * (middle - 1)) + middle
        distance = torch.where(distance.abs() <= middle, distance, coarse.long() * distance.sign())
    return (distance + span).clamp(0, rows - 1)
