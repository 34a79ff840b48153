"""Metrics of answers found in a context: exact match and F1 of words, as SQuAD scores them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from tonne.train.metrics.measure import Measure, mean_of

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
ABOUT = "|case:lower|punct:dropped|articles:dropped|tok:whitespace|refs:best"


def answer_measures(
    names: Sequence[str], predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, Measure]:
    """Exact match and F1 of each answer with the reference that it fits best; a question without one wants "".

    Source: rajpurkar2016squad, section 6.1.
    """
    pairs = [(made, wanted or [""]) for made, wanted in zip(predictions, references, strict=True)]
    exact = [max(float(normalised(made) == normalised(one)) for one in wanted) for made, wanted in pairs]
    overlap = [max(word_f1(made, one) for one in wanted) for made, wanted in pairs]
    known = {
        "exact_match": mean_of(exact, f"squad-em{ABOUT}"),
        "f1": mean_of(overlap, f"squad-f1{ABOUT}"),
    }
    return {name: known[name] for name in names}


def normalised(text: str) -> str:
    """A text in lower case, without punctuation (of ASCII), articles and surplus white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def word_f1(prediction: str, reference: str) -> float:
    """F1 of the words that two texts share, 0 to 1; where one has none, whether both have none.

    Equation: F = 2 s / (p + r), with s = words shared, p = those of the prediction, r = those of the reference.
    """
    made, wanted = normalised(prediction).split(), normalised(reference).split()
    if not made or not wanted:
        return float(made == wanted)
    shared = (Counter(made) & Counter(wanted)).total()
    return 2 * shared / (len(made) + len(wanted))
