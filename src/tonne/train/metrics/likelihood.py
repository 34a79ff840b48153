"""How probable text is to a model: perplexity, and bits per byte, which no tokenizer flatters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tonne.errors import DataError
from tonne.train.metrics.measure import Measure, Values, Weights


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of one text: the sum of its tokens' losses [nat], how many were predicted, and its bytes of UTF-8."""

    nats: float
    tokens: int
    bytes: int


def likelihood_measures(names: Sequence[str], predictions: Sequence[Likelihood]) -> dict[str, Measure]:
    """Perplexity and bits per byte over all tokens of all texts.

    Equation: P = exp(L / m), b = L / (ln 2 B), with L = nats, m = tokens, B = bytes, each summed over the texts.

    Raises:
        DataError: No token was predicted.
    """
    sums = np.array([(one.nats, one.tokens, one.bytes) for one in predictions], dtype=np.float64)
    if not sums[:, 1].all() or not sums[:, 2].all():
        raise DataError("a text has no token to predict. Leave out texts of a single token.")

    def perplexity(weights: Weights) -> Values:
        found: Values = np.exp((weights @ sums[:, 0]) / (weights @ sums[:, 1]))
        return found

    def bits_per_byte(weights: Weights) -> Values:
        found: Values = (weights @ sums[:, 0]) / (math.log(2) * (weights @ sums[:, 2]))
        return found

    made = {
        "perplexity": Measure(values=perplexity, signature="perplexity|per:token|mean:tokens"),
        "bits_per_byte": Measure(values=bits_per_byte, signature="bits_per_byte|per:utf-8-byte|mean:bytes"),
    }
    return {name: made[name] for name in names}
