"""Texts with some of their tokens left out, others in every epoch, so that no label hangs on a single word."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np

from tonne.train.draws import Draws
from tonne.train.objectives.example import Example


def thinned(example: Example, share: float, draws: Draws, kept: Set[int]) -> Example:
    """An example of one label with each token left out by chance.

    Args:
        example: As ``tasks.form.read_only`` makes them; what an encoder-decoder reads twice stays the same.
        share: Chance of each token to be left out.
        draws: Numbers of this sample in this epoch.
        kept: Ids that stay: those that frame a text.

    Returns:
        The others in their order, at neighbouring places; the example as it is where none would be left.

    Source: iyyer2015deep, section 3.
    """
    read = example.tokens if example.source is None else example.source
    stays = (draws.uniform(len(read)) >= share) | np.isin(read, list(kept))
    if not stays.any():
        return example
    targets, left = example.targets[stays], read[stays]
    if example.source is not None:
        return replace(example, tokens=np.concatenate([example.tokens[:1], left[:-1]]), targets=targets, source=left)
    types = None if example.token_types is None else example.token_types[stays]
    return replace(example, tokens=left, targets=targets, token_types=types)
