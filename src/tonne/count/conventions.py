"""What other papers and frameworks print as training FLOP per token, so that one sees why two of them differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonne.count.layers import score_width, stacks, value_width
from tonne.count.parameters import active_parameters, matmul_parameters, output_matrices

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture

FLOP_PER_PARAMETER = 6  # a multiply-add is 2; forward once, backward twice
FLOP_PER_ATTENDED_POSITION = 12  # the same, for scores and for values
RECOMPUTED = 4 / 3  # forward, forward again, backward twice: 4 passes instead of 3


def conventions(architecture: Architecture, sequence_length: int) -> dict[str, float]:
    """Training FLOP per token by the conventions in use.

    Equations, with N = parameters that a token meets, M = matmul_parameters, L = layers, H = heads, Q = head_width,
    T = sequence_length, W = width, V = vocabulary:
    ``6N``; ``6N+12LHQT`` = 6 M + 12 L H Q T; ``6N+6LHQT``, the same with half the attention, as a causal mask
    leaves; ``6N+12LHQT, recomputed`` = (6 M' + 12 L H Q T) 4/3 + 6 V W, M' without the output table; ``megatron`` =
    96 L W^2 (1 + T / 6 W + V / 16 L W), with recomputation; ``nemo`` = 6 M + 12 L H Q T; ``megatron-bridge`` =
    6 M + 6 L H Q T; ``llm-foundry`` = 6 N + 12 L W T; ``palm`` = 6 N + 12 L H Q T.

    Args:
        architecture: Shape of the model. For an encoder-decoder L counts both stacks: the conventions were made for
            decoders, and say little there.
        sequence_length: Tokens attended to [token].

    Returns:
        FLOP per token, forward and backward, by name [FLOP/token].

    Source: chowdhery2022palm, appendix B; narayanan2021megatron, equation 3.
    """
    a, length = architecture, sequence_length
    layers = sum(count for count, _ in stacks(a))
    parameters = FLOP_PER_PARAMETER * active_parameters(a)
    matrices = FLOP_PER_PARAMETER * matmul_parameters(a)
    logits = FLOP_PER_PARAMETER * output_matrices(a)
    # the mean of the two widths is the head width but for latent attention
    attention = FLOP_PER_ATTENDED_POSITION * layers * a.heads * (score_width(a) + value_width(a)) / 2 * length
    return {
        "6N": 1.0 * parameters,
        "6N+12LHQT": matrices + attention,
        "6N+6LHQT": matrices + attention / 2,
        "6N+12LHQT, recomputed": (matrices - logits + attention) * RECOMPUTED + logits,
        "megatron": megatron_flop_per_token(a, layers, length),
        "nemo": matrices + attention,
        "megatron-bridge": matrices + attention / 2,
        "llm-foundry": parameters + 1.0 * FLOP_PER_ATTENDED_POSITION * layers * a.width * length,
        "palm": parameters + attention,
    }


def megatron_flop_per_token(architecture: Architecture, layers: int, sequence_length: int) -> float:
    """Megatron's count, for layers of 12 W^2 parameters and full recomputation.

    Equation: 96 B s l h^2 (1 + s / 6 h + V / 16 l h) / (B s), with l = layers, h = width, s = sequence_length,
    V = vocabulary.

    Source: narayanan2021megatron, equation 3.
    """
    a = architecture
    terms = 1 + sequence_length / (6 * a.width) + a.vocabulary / (16 * layers * a.width)
    return 96.0 * layers * a.width**2 * terms


def partial_convention(architecture: Architecture, trainable: int) -> dict[str, float]:
    """FLOP per token where a part of the model learns, by the convention in use.

    Equation: 4 N + 2 P, with N = parameters that a token meets, P = trainable parameters. Attention is left out, and
    so is what adapters compute beside their own gradients.

    Source: tonne
    """
    return {"4N+2P": 4.0 * active_parameters(architecture) + 2.0 * trainable}
