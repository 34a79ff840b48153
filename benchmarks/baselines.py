"""What do the examples of fine-tuning score without a transformer?

Baselines on the tests of the built-in corpora: copying the source, the first sentence, the most frequent label, a bag
of words (TF-IDF and logistic regression, the regularisation chosen by cross-validation on the training part), the
summary of the nearest docstring, the sentence with most words of the question.

    python benchmarks/baselines.py [CORPUS ...]
"""

from __future__ import annotations

import json
import sys

from tonne.describe.task import Task
from tonne.train.baselines import copied, lead, majority, nearest_names, nearest_sentences
from tonne.train.labelled_reading import read_labelled
from tonne.train.metrics import score

TASKS = {
    "translate-zh": "translation",
    "translate-de": "translation",
    "summarise": "summarisation",
    "classify": "classification",
    "answer": "question-answering",
}


def bag_of_words(trained, tested):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline

    # l1_ratios=(0,) is L2 alone
    chosen = LogisticRegressionCV(
        Cs=(1, 10, 100), cv=3, max_iter=500, scoring="accuracy", l1_ratios=(0,), use_legacy_attributes=False
    )
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 1)), chosen)
    model.fit([one.text for one in trained], [one.label for one in trained])
    return list(model.predict([one.text for one in tested]))


def nearest_summaries(trained, tested):
    """The target of the training example whose source is most like each source (TF-IDF)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(sublinear_tf=True)
    known = vectors.fit_transform([one.source for one in trained])
    alike = vectors.transform([one.source for one in tested]) @ known.T
    return [trained[int(place)].target for place in alike.argmax(axis=1).ravel().tolist()[0]]


def predictions_of(name, trained, tested):
    if name.startswith("translate"):
        return {"copy": copied(tested)}
    if name == "summarise":
        return {"lead-1": lead(tested), "summary of the nearest": nearest_summaries(trained, tested)}
    if name == "classify":
        return {"majority": majority(trained, tested), "bag of words": bag_of_words(trained, tested)}
    return {"nearest sentence": nearest_sentences(tested), "its first name": nearest_names(tested)}


def references_of(tested):
    first = tested[0]
    if first.label:
        return [one.label for one in tested]
    if first.answers:
        return [[answer.text for answer in one.answers] for one in tested]
    return [one.target for one in tested]


def main() -> None:
    found = {}
    for name in sys.argv[1:] or TASKS:
        task = Task(name=TASKS[name])
        trained, tested = (read_labelled(f"builtin:{name}{part}", None, task) for part in ("", "-test"))
        scores = {
            kind: {
                metric: [round(value, 1) for value in (one.value, one.low, one.high)]
                for metric, one in score(task.name, predicted, references_of(tested)).items()
            }
            for kind, predicted in predictions_of(name, trained, tested).items()
        }
        found[name] = {"trained": len(trained), "tested": len(tested), **scores}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
