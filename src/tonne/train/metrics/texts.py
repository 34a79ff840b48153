"""Metrics of texts that are written: BLEU and chrF by sacrebleu, ROUGE by rouge-score, and exact match."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tonne.errors import MissingPackageError
from tonne.train.metrics.measure import Measure, Values, Weights, mean_of

References = Sequence[Sequence[str]]  # of each text, all that are right
BLEU_TOKENIZERS = {"han": "zh", "kana": "char"}  # by script; of all others sacrebleu's own, 13a
_WORDS = re.compile(r"[^\W_]+")  # letters and digits of any script


def text_measures(names: Sequence[str], predictions: Sequence[str], references: References) -> dict[str, Measure]:
    """The metrics of these names.

    Raises:
        MissingPackageError: The library of one is not installed.
    """
    rouge = [name for name in names if name.startswith("rouge")]
    found = _rouge(rouge, predictions, references) if rouge else {}
    makers = {"bleu": _bleu, "chrf": _chrf, "exact_match": _exact}
    return {name: found[name] if name in found else makers[name](predictions, references) for name in names}


def script_of(texts: Sequence[str]) -> str:
    """Which script most letters of some texts have: "kana" (any, beside Han), "han", "latin" or "other"."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_script(letter) for letter in text if letter.isalpha())
    if not counts:
        return "latin"
    if counts["kana"] and counts["kana"] + counts["han"] > counts.total() / 2:
        return "kana"
    return counts.most_common(1)[0][0]


def _script(letter: str) -> str:
    if letter.isascii():
        return "latin"
    name = unicodedata.name(letter, "")
    kinds = {"CJK": "han", "HIRAGANA": "kana", "KATAKANA": "kana", "LATIN": "latin"}
    return kinds.get(name.split(" ")[0], "other")


def _exact(predictions: Sequence[str], references: References) -> Measure:
    """Whether a text is one of its references, white space at the ends aside."""
    right = [
        made.strip() in {one.strip() for one in wanted} for made, wanted in zip(predictions, references, strict=True)
    ]
    return mean_of(right, "exact-match|case:mixed|space:stripped|refs:any")


def _bleu(predictions: Sequence[str], references: References) -> Measure:
    """BLEU as sacrebleu computes it, with the tokenizer that the references' script needs.

    Source: post2018sacrebleu, section 3; papineni2002bleu, section 2.3.
    """
    tokenizer = BLEU_TOKENIZERS.get(script_of([one for several in references for one in several]), "13a")
    return _of_sacrebleu(_library("sacrebleu").BLEU(tokenize=tokenizer), predictions, references)


def _chrf(predictions: Sequence[str], references: References) -> Measure:
    """F-score of characters in a row, as sacrebleu computes it (chrF2).

    Source: popovic2015chrf, section 2.
    """
    return _of_sacrebleu(_library("sacrebleu").CHRF(), predictions, references)


def _of_sacrebleu(metric: Any, predictions: Sequence[str], references: References) -> Measure:  # noqa: ANN401
    """A metric of a corpus from what sacrebleu counts in each of its segments."""
    streams = [list(stream) for stream in zip_longest(*references)]  # the first of each text, the second, ...
    segments = np.array(metric._extract_corpus_statistics(list(predictions), streams), dtype=np.int64)

    def values(weights: Weights) -> Values:
        sums = weights @ segments  # (resamples, counts)
        return np.array([metric._compute_score_from_stats(row.tolist()).score for row in sums])

    name = type(metric).__name__
    return Measure(values=values, signature=f"{name}|{metric.get_signature().format()}")


def _rouge(names: Sequence[str], predictions: Sequence[str], references: References) -> dict[str, Measure]:
    """The mean over the texts of ROUGE's F1, of the reference that fits best, as rouge-score computes it.

    Its own tokenizer drops whatever is not ASCII: where references are of another script, words are letters and digits
    of any script, and characters of Chinese and Japanese stand alone.

    Source: lin2004rouge, sections 2 and 3.
    """
    scorers = _library("rouge_score.rouge_scorer")
    own = script_of([one for several in references for one in several]) == "latin"
    scorer = scorers.RougeScorer(list(names), use_stemmer=False, tokenizer=None if own else _AnyScript())
    found: dict[str, NDArray[np.float64]] = {name: np.zeros(len(predictions)) for name in names}
    for place, (made, wanted) in enumerate(zip(predictions, references, strict=True)):
        for name, score in scorer.score_multi(list(wanted), made).items():
            found[name][place] = score.fmeasure
    about = f"|stem:no|tok:{'default' if own else 'any-script'}|refs:best|version:{version('rouge-score')}"
    return {name: mean_of(shares, f"{name}-f1{about}") for name, shares in found.items()}


class _AnyScript:
    """Words of any script for rouge-score."""

    def tokenize(self, text: str) -> list[str]:
        """The words, those of Chinese and Japanese cut into characters."""
        return [part for word in _WORDS.findall(text.lower()) for part in _parts(word)]


def _parts(word: str) -> list[str]:
    """A word, or its runs between characters of Han and kana and these themselves."""
    parts: list[str] = []
    for letter in word:
        alone = _script(letter) in BLEU_TOKENIZERS
        if parts and not alone and _script(parts[-1][-1]) not in BLEU_TOKENIZERS:
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts


def _library(name: str) -> Any:  # noqa: ANN401 - a module without types
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise MissingPackageError(
            f"this metric is computed by {name.split('.')[0]}, which is not installed. Run: pip install "
            f"'tonne[metrics]'"
        ) from None
