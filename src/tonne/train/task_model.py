"""The model and the tokenizer that a fine-tuning begins with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tonne.describe.heads import ENDS_OF_AN_ANSWER, with_head
from tonne.describe.task import LABELLING
from tonne.errors import DataError, DescriptionError
from tonne.model.transformer import Transformer
from tonne.train.freezing import freeze
from tonne.train.going_on import check_dimensions, model_to_go_on_with, with_architecture
from tonne.train.job import sharding_of
from tonne.train.labelled import check_labels, labels_of
from tonne.train.lora import add_adapters
from tonne.train.run_folder import alone_in
from tonne.train.special_tokens import default_kind
from tonne.train.tokenizer import TOKENIZER_FILE, TextTokenizer, load_tokenizer
from tonne.train.tokenizer_training import DEFAULT_VOCABULARY, train_tokenizer

if TYPE_CHECKING:
    from tonne.describe.architecture import Architecture
    from tonne.describe.finetuning import FinetuningRecipe
    from tonne.describe.task import Task
    from tonne.train.labelled import Labelled

TOKENIZERS = "tokenizers"  # in the folder where tonne keeps what the next command can use again
LEARNS = {"encoder": "masked-lm", "decoder": "causal-lm", "encoder-decoder": "seq2seq"}  # for the special tokens


def model_for(recipe: FinetuningRecipe, folder: Path | None, labels: int) -> Transformer:
    """The model with the head of the task: read from a folder and what is new drawn, or drawn whole.

    Args:
        recipe: The plan.
        folder: Of the model that training starts from; None: from scratch.
        labels: How many labels the examples have; 0 where the task has none.

    Raises:
        WeightsError: The folder's files are broken, or of another architecture.
        DescriptionError: The plan describes another one.
    """
    training, name = recipe.training, recipe.task.name
    choices = ENDS_OF_AN_ANSWER if name == "question-answering" else labels
    if folder is None:
        torch.manual_seed(training.seed)
        return Transformer(_headed(recipe, recipe.architecture, choices), dropout=training.dropout)
    model = model_to_go_on_with(folder, dropout=training.dropout)
    check_dimensions(recipe.architecture, model.architecture, folder)
    wanted = _headed(recipe, model.architecture, choices)
    return with_architecture(model, wanted, dropout=training.dropout, seed=training.seed)


def _headed(recipe: FinetuningRecipe, a: Architecture, choices: int) -> Architecture:
    """An architecture with the head that the task needs, which it may have already.

    Raises:
        DescriptionError: It has a head for something else.
    """
    if not choices:
        if a.task_head is not None:
            raise DescriptionError(
                f"the model has a head for {a.task_head.labels} labels and predicts no tokens, which "
                f"{recipe.task.name} needs. Start from one that does."
            )
        return a
    head, pooling = a.task_head, recipe.task.pooling
    same = head is not None and head.labels == choices and pooling in (None, head.pooling)
    return a if same else with_head(a, recipe.task.name, choices, pooling)


def prepare_learning(recipe: FinetuningRecipe, model: Transformer) -> None:
    """Put adapters in, or freeze layers, as the plan asks; else all of the model learns."""
    if recipe.training.lora is not None:
        if sharding_of(recipe) != "none":
            raise DescriptionError("lora is trained with the whole model in each process: leave sharding out.")
        torch.manual_seed(recipe.training.seed)
        add_adapters(model, recipe.training.lora)
    freeze(model, recipe.training.frozen_layers)


def labels_for(task: Task, train: Sequence[Labelled], held_out: Sequence[Labelled]) -> tuple[str, ...]:
    """The labels of a task in the order of their numbers; none where it has none.

    Raises:
        DataError: Held-out examples have a label that no other example has.
    """
    if task.name not in LABELLING:
        return ()
    labels = labels_of(train, task)
    check_labels(train, labels)
    check_labels(held_out, labels)
    return labels


def tokenizer_for_task(
    recipe: FinetuningRecipe, folder: Path | None, train: Sequence[Labelled], home: Path
) -> TextTokenizer:
    """The tokenizer that the plan names, that of the model, or one trained on the examples.

    Args:
        recipe: The plan.
        folder: Of the model that training starts from; None: from scratch.
        train: Examples that are not held out.
        home: Where a trained one is kept.

    Raises:
        DataError: The model's folder has none.
    """
    choice = recipe.tokenizer
    if choice.file is not None:
        return load_tokenizer(choice.file)
    if folder is not None:
        if not (folder / TOKENIZER_FILE).is_file():
            raise DataError(f"{folder} has no {TOKENIZER_FILE}. Name the model's own tokenizer in [tokenizer] file.")
        return load_tokenizer(folder)
    return _trained(recipe, train, home)


def _trained(recipe: FinetuningRecipe, train: Sequence[Labelled], home: Path) -> TextTokenizer:
    """A tokenizer of the examples' texts, trained once: training Unigram twice gives two."""
    task, choice, objective = recipe.task, recipe.tokenizer, LEARNS[recipe.architecture.kind]
    texts = [text for example in train for role in task.roles for text in _texts(example, role)]
    vocabulary = recipe.architecture.vocabulary or DEFAULT_VOCABULARY
    size = choice.vocabulary or min(DEFAULT_VOCABULARY, vocabulary)
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps([choice.model_dump(mode="json"), objective, size]).encode())
    for text in texts:
        digest.update(text.encode() + b"\0")
    folder = home / TOKENIZERS / digest.hexdigest()
    with alone_in(folder):
        if not (folder / TOKENIZER_FILE).is_file():
            kind = choice.kind or default_kind(objective)
            train_tokenizer(texts, kind=kind, vocabulary=size, objective=objective, lowercase=choice.lowercase).save(
                folder
            )
    return load_tokenizer(folder)


def _texts(example: Labelled, role: str) -> list[str]:
    """The texts that a role holds; a label is none."""
    if role in ("label", "labels", "answers"):
        return []
    value = getattr(example, role)
    return [value] if isinstance(value, str) else [" ".join(value)]


def check_vocabulary(tokenizer: TextTokenizer, model: Transformer, folder: Path | None) -> None:
    """Whether the model has a row for each token.

    Raises:
        DescriptionError: It has not.
    """
    rows = model.architecture.vocabulary
    if tokenizer.vocabulary > rows:
        of = "" if folder is None else f" in {folder}"
        raise DescriptionError(
            f"the tokenizer has ids up to {tokenizer.vocabulary - 1}, but the model{of} knows {rows} tokens. Use the "
            f"model's own tokenizer, or from scratch a vocabulary of at least {tokenizer.vocabulary}."
        )
