"""What a task scores without a model: what any training must beat to have been of use.

Copying the source, the first sentence, the most frequent label, the sentence with most words of the question. Bags of
words, which need scikit-learn, stand in ``benchmarks/baselines.py``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tonne.train.labelled import Labelled

_SENTENCE_END = re.compile(r"(?<=[.!?;:。！？])\s+")
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r'"([^"\s][^"]*)"')


def copied(tested: Sequence[Labelled]) -> list[str]:
    """Each source as it is."""
    return [example.source for example in tested]


def lead(tested: Sequence[Labelled]) -> list[str]:
    """The first sentence of each source; it ends with its paragraph at the latest."""
    texts = [example.source.strip().partition("\n\n")[0] for example in tested]
    return [_SENTENCE_END.split(text, maxsplit=1)[0] for text in texts]


def majority(trained: Sequence[Labelled], tested: Sequence[Labelled]) -> list[str]:
    """The most frequent label of training for each; of several, the first by name."""
    counts = Counter(example.label for example in trained)
    most = min(counts, key=lambda label: (-counts[label], label))
    return [most] * len(tested)


def nearest_sentences(tested: Sequence[Labelled]) -> list[str]:
    """The sentence of each context that shares most words with the question; of several, the first."""
    return [_nearest(example) for example in tested]


def nearest_names(tested: Sequence[Labelled]) -> list[str]:
    """The name in quotation marks that the nearest sentence has and the question has not; else the sentence."""
    found = []
    for example in tested:
        sentence = _nearest(example)
        names = [name for name in _QUOTED.findall(sentence) if name not in example.question]
        found.append(names[0] if names else sentence)
    return found


def _nearest(example: Labelled) -> str:
    asked = set(_WORD.findall(example.question.casefold()))
    sentences = _SENTENCE_END.split(example.context)
    return max(sentences, key=lambda sentence: len(asked & set(_WORD.findall(sentence.casefold()))))
