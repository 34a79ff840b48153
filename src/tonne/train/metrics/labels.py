"""Metrics of labels: accuracy, F1 over labels and over all, and of entities that labels of tokens spell."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from tonne.errors import DataError
from tonne.train.metrics.measure import Measure, Values, Weights, mean_of

OUTSIDE = "O"
_TAG = re.compile(r"([BIESLU])-(.+)")  # begin, inside, end (last), single (unit)
_GOES_ON, _MAY_GO_ON = "IEL", "BI"


def label_measures(names: Sequence[str], predictions: Sequence[str], references: Sequence[str]) -> dict[str, Measure]:
    """Of one label an example."""
    owners = np.arange(len(predictions))
    return _counted(names, list(predictions), list(references), owners, "examples")


def token_measures(
    names: Sequence[str], predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> dict[str, Measure]:
    """Of one label a token; sentences are resampled, not tokens.

    Raises:
        DataError: A sentence has not as many predictions as labels, or labels spell no entities and some are asked for.
    """
    pairs = zip(predictions, references, strict=True)
    unlike = next((i for i, (made, wanted) in enumerate(pairs) if len(made) != len(wanted)), None)
    if unlike is not None:
        raise DataError(
            f"example {unlike + 1} has {len(predictions[unlike])} predictions for {len(references[unlike])} labels. "
            f"Give one for each token."
        )
    owners = np.repeat(np.arange(len(references)), [len(labels) for labels in references])
    flat = [list(chain.from_iterable(lists)) for lists in (predictions, references)]
    found = _counted([name for name in names if not name.startswith("entity")], flat[0], flat[1], owners, "tokens")
    wanted = [name for name in names if name.startswith("entity")]
    return found | (_of_entities(wanted, predictions, references) if wanted else {})


def spells_entities(references: Sequence[Sequence[str]]) -> bool:
    """Whether labels of tokens are those of entities: B-PER, I-PER, O; at least one of them no O."""
    labels = set(chain.from_iterable(references)) - {OUTSIDE}
    return bool(labels) and all(_TAG.fullmatch(label) for label in labels)


def entities(labels: Sequence[str]) -> set[tuple[str, int, int]]:
    """Kind, first token and the token after the last of each entity that the labels of a sentence spell.

    An entity also begins with I or E where none of its kind goes on, as conlleval has it.

    Source: tjong2003conll, section 3.
    """
    found: set[tuple[str, int, int]] = set()
    kind, start, before = "", 0, OUTSIDE
    for place, label in enumerate([*labels, OUTSIDE]):
        tag = _TAG.fullmatch(label)
        prefix, own = (tag[1], tag[2]) if tag else (OUTSIDE, "")
        if prefix in _GOES_ON and before in _MAY_GO_ON and own == kind:
            before = prefix
            continue
        if before != OUTSIDE:
            found.add((kind, start, place))
        kind, start, before = own, place, prefix
    return found


def _counted(
    names: Sequence[str], predictions: list[str], references: list[str], owners: NDArray[np.int64], of: str
) -> dict[str, Measure]:
    """Accuracy and F1 of pairs of labels, each owned by an example."""
    numbers = {label: number for number, label in enumerate(sorted({*predictions, *references}))}
    made = np.array([numbers[label] for label in predictions], dtype=np.int64)
    wanted = np.array([numbers[label] for label in references], dtype=np.int64)
    counts = _counts(made, wanted, owners, len(numbers))
    about = f"|of:{of}|labels:{len(numbers)}"
    right = (made == wanted).astype(np.float64)
    known = {
        "accuracy": _accuracy(right, owners, f"accuracy{about}"),
        "f1_macro": Measure(values=lambda w: _macro(*counts(w)), signature=f"f1|average:macro{about}"),
        "f1_micro": Measure(values=lambda w: _micro(*counts(w)), signature=f"f1|average:micro{about}"),
    }
    return {name: known[name] for name in names}


def _accuracy(right: NDArray[np.float64], owners: NDArray[np.int64], signature: str) -> Measure:
    """The share of labels that are right; of all tokens together, where an example has several."""
    if len(owners) == (owners[-1] + 1 if len(owners) else 0):
        return mean_of(right, signature)
    own = np.bincount(owners, weights=right)
    held = np.bincount(owners).astype(np.float64)
    return Measure(values=lambda weights: 100.0 * (weights @ own) / (weights @ held), signature=signature)


Counts = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _counts(
    made: NDArray[np.int64], wanted: NDArray[np.int64], owners: NDArray[np.int64], labels: int
) -> Callable[[Weights], Counts]:
    """For weights: how often each label is right, predicted and wanted, (resamples, labels) each."""
    right = made == wanted

    def of(weights: Weights) -> Counts:
        rows = [
            [
                np.bincount(kept, weights=row[own], minlength=labels)
                for kept, own in ((made[right], owners[right]), (made, owners), (wanted, owners))
            ]
            for row in weights
        ]
        both = np.array(rows, dtype=np.float64).transpose(1, 0, 2)
        return both[0], both[1], both[2]

    return of


def _macro(right: NDArray[np.float64], made: NDArray[np.float64], wanted: NDArray[np.float64]) -> Values:
    """The mean over labels that occur of F1 = 2 t / (p + r), with t = right, p = predicted, r = wanted [%]."""
    total = made + wanted
    each = np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
    found: Values = 100.0 * each.sum(1) / (total > 0).sum(1)
    return found


def _micro(right: NDArray[np.float64], made: NDArray[np.float64], wanted: NDArray[np.float64]) -> Values:
    """F1 of all labels together; where each example has one label, it is the accuracy [%]."""
    total = (made + wanted).sum(1)
    found: Values = 100.0 * np.divide(2 * right.sum(1), total, out=np.zeros_like(total), where=total > 0)
    return found


def _of_entities(
    names: Sequence[str], predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]
) -> dict[str, Measure]:
    """Precision, recall and F1 of whole entities: kind and both ends right."""
    if not spells_entities(references):
        raise DataError(
            f"the labels spell no entities (B-PER, I-PER, O, ...), which {names[0]} counts. Take f1_macro, or name the "
            f"labels so."
        )
    sets = [(entities(made), entities(wanted)) for made, wanted in zip(predictions, references, strict=True)]
    sums = np.array([(len(a & b), len(a), len(b)) for a, b in sets], dtype=np.float64)  # (examples, 3)

    def ratio(of: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[[Weights], Values]:
        def values(weights: Weights) -> Values:
            counts = weights @ sums
            below = of(counts)
            found: Values = 100.0 * np.divide(counts[:, 0], below, out=np.zeros_like(below), where=below > 0)
            return found

        return values

    below: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "entity_precision": lambda counts: counts[:, 1],
        "entity_recall": lambda counts: counts[:, 2],
        "entity_f1": lambda counts: (counts[:, 1] + counts[:, 2]) / 2,
    }
    about = "|match:exact|scheme:conlleval|average:micro"
    return {name: Measure(values=ratio(below[name]), signature=f"{name}{about}") for name in names}
