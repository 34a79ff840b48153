"""What is trained on what: a plan file turned into a model, batches and the numbers of its steps."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tonne.count.workload import counts_of
from tonne.describe.run import Run
from tonne.errors import DescriptionError
from tonne.model.transformer import Transformer
from tonne.train.batches import Batches, checked_length
from tonne.train.going_on import model_to_go_on_with
from tonne.train.losses import Losses
from tonne.train.objectives.build import ObjectiveOptions, objective_for
from tonne.train.prepare import store_for
from tonne.train.run_folder import alone_in

if TYPE_CHECKING:
    from torch import nn

    from tonne.describe.architecture import Architecture
    from tonne.describe.data import Data
    from tonne.describe.recipe import Recipe
    from tonne.describe.training import Training
    from tonne.train.distribution import Sharding
    from tonne.train.ordered import OrderedBatches
    from tonne.train.prepare import Progress
    from tonne.train.store import TokenStore
    from tonne.train.tokenizer import TextTokenizer
    from tonne.train.tuning import Tuning

ADDED = ("token_dropout",)
EVERY_TOKEN = ("causal-lm",)  # objectives whose loss is one of every token, so that bits per byte can be told


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training run, ready to start: what ``fit`` takes.

    ``flop_per_token`` is the model's, forward and backward. ``bytes_per_token`` are those of the training text, and
    ``validation_bytes_per_token`` of the held-out one; None where no bits per byte can be told. ``batch_size_given``:
    the plan says how many sequences a micro-batch has. ``precision_given``: the plan says the precision. ``tuning``:
    what a fine-tuning adds; None where a model is pre-trained.
    """

    model: Transformer
    batches: OrderedBatches
    training: Training
    total_steps: int
    flop_per_token: float
    tokens_per_step: int
    run: Run = Run()  # noqa: RUF009 - frozen
    name: str = "run"
    validation: OrderedBatches | None = None
    tokenizer: TextTokenizer | None = None
    bytes_per_token: float | None = None
    validation_bytes_per_token: float | None = None
    sharding: Sharding = "none"
    batch_size_given: bool = False
    precision_given: bool = False
    tuning: Tuning | None = None

    @property
    def architecture(self) -> Architecture:
        """Shape of the model."""
        return self.model.architecture

    def facts(self) -> dict[str, Any]:
        """All that a resumed run must share with the one that it goes on from, as built-in types."""
        return {
            "architecture": self.architecture.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json", exclude=_unsaid(self.training)),
            "data": {**self.batches.facts(), "total_steps": self.total_steps},
            **({} if self.tuning is None else {"task": self.tuning.facts()}),
        }

    def losses(self) -> nn.Module:
        """What is called in training: a batch in, its two losses out."""
        if self.tuning is None:
            return Losses(self.model, label_smoothing=self.training.label_smoothing)
        return self.tuning.losses(self.model, self.training)


def _unsaid(training: Training) -> set[str]:
    """Fields younger than runs that may go on, and models that plans start from: at their default they say nothing."""
    return {name for name in ADDED if getattr(training, name) == type(training).model_fields[name].default}


def job_of(
    recipe: Recipe,
    folder: Path,
    *,
    report: Callable[[Progress], None] | None = None,
    model: Transformer | None = None,
) -> Job:
    """The run that a plan file describes; its data are prepared in a folder, once.

    Args:
        recipe: The plan.
        folder: Where token stores are kept.
        report: Called with the progress of preparing.
        model: To go on with; left out, the one that the plan starts from.

    Raises:
        TonneError: Data, tokenizer and model are missing, broken, or do not fit one another.
    """
    a, data, training = recipe.architecture, recipe.data, recipe.training
    a = a if model is None else model.architecture
    length = _length(recipe)
    with alone_in(folder):
        store = store_for(
            data, recipe.tokenizer, folder, objective=training.objective, vocabulary=a.vocabulary or None, report=report
        )
    store.check_vocabulary(a.vocabulary)
    batches = _batches(recipe, store, length, validation=False)
    target = batches.objective.target_length(length)
    if a.positions == "learned":
        checked_length(max(length, target or 0), a.max_positions)
    tokens_per_step = batches.batch_sequences * (length + (target or 0))
    counts = counts_of(
        a,
        tokens=data.tokens,
        sequence_length=length,
        source_length=length if target else None,
        target_length=target,
        objective=training.objective,
        masked_fraction=training.masked_fraction,
        lora=training.lora,
        frozen_layers=training.frozen_layers,
    )
    held_out = _batches(recipe, store, length, validation=True) if data.validation_fraction else None
    told = training.objective in EVERY_TOKEN
    return Job(
        model=_model(recipe) if model is None else model,
        batches=batches,
        training=training,
        total_steps=total_steps(training, data, batches, tokens_per_step),
        flop_per_token=counts.model_flop_per_token,
        tokens_per_step=tokens_per_step,
        run=recipe.run,
        name=recipe.name,
        validation=held_out,
        tokenizer=store.tokenizer,
        bytes_per_token=_bytes_per_token(batches) if told else None,
        validation_bytes_per_token=_bytes_per_token(held_out) if told and held_out else None,
        sharding=sharding_of(recipe),
        batch_size_given="micro_batch_sequences" in training.model_fields_set,
        precision_given="precision" in training.model_fields_set,
    )


def total_steps(training: Training, data: Data, batches: OrderedBatches, tokens_per_step: int) -> int:
    """Steps of a run: as many as its epochs have, or where they are left out as its tokens fill."""
    if training.epochs is not None:
        return max(1, math.ceil(training.epochs * len(batches) / batches.batch_sequences))
    return max(1, math.ceil(data.tokens / tokens_per_step))


def store_folder(recipe: Recipe, home: Path) -> Path:
    """Where the store of a plan's data is kept: one folder for each choice of text and tokenizer."""
    data = recipe.data.model_dump(mode="json", include={"source", "format", "columns", "documents", "split"})
    chosen = recipe.tokenizer.model_dump(mode="json")
    kept = [data, chosen, recipe.data.validation_fraction, recipe.training.objective, recipe.architecture.vocabulary]
    return home / hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=8).hexdigest()


def _length(recipe: Recipe) -> int:
    """Tokens of a sequence; of an encoder-decoder's source."""
    data = recipe.data
    length = data.source_length if recipe.architecture.kind == "encoder-decoder" else None
    length = length or data.sequence_length
    if length is None:
        raise DescriptionError("[data] sequence_length is missing. Say how long a sequence is, e.g. 256.")
    return length


def _batches(recipe: Recipe, store: TokenStore, length: int, *, validation: bool) -> Batches:
    """Those that are trained on, or the held-out ones."""
    training, fraction = recipe.training, recipe.data.validation_fraction
    options = ObjectiveOptions(lost_fraction=training.masked_fraction)
    if recipe.data.target_length is not None:
        options = ObjectiveOptions(lost_fraction=training.masked_fraction, target_length=recipe.data.target_length)
    batch = training.global_batch_sequences
    assert batch is not None, "a recipe has one"
    return Batches(
        store.validation(fraction) if validation else store.training(fraction),
        objective_for(training.objective, store, options),
        batch_sequences=batch,
        length=length,
        seed=training.seed,
    )


def _model(recipe: Recipe) -> Transformer:
    """The model at its start: drawn from the seed, or read from a folder."""
    if recipe.start.from_scratch:
        torch.manual_seed(recipe.training.seed)
        return Transformer(recipe.architecture, dropout=recipe.training.dropout)
    origin = recipe.start.origin
    if not isinstance(origin, str) or not Path(origin).is_dir():
        raise DescriptionError(
            f"[start] from = {origin!r} holds no weights that can be read here. Give 'scratch', or the folder of a "
            f"model (config.json with its safetensors)."
        )
    model = model_to_go_on_with(origin, dropout=recipe.training.dropout)
    own, asked = model.architecture.model_dump(), recipe.architecture.model_dump()
    differing = [name for name in own if own[name] != asked[name]]
    if differing:
        name = differing[0]
        raise DescriptionError(
            f"[start] from = {origin!r} holds a model with {name}={own[name]!r}, and [architecture] says "
            f"{asked[name]!r}. Leave [architecture] out: it is that of the model."
        )
    return model


def _bytes_per_token(batches: Batches) -> float | None:
    """Bytes of text that a token stands for; None where nobody knows."""
    known = batches.data.text_bytes
    return None if known is None or not batches.data.tokens else known / batches.data.tokens


def sharding_of(recipe: Recipe) -> Sharding:
    """As the plan says; where it says nothing, every process holds the whole model."""
    p = recipe.parallelism
    if p is None or "sharding" not in p.model_fields_set or p.sharding == "none":
        return "none"
    return "zero-3" if p.sharding == "zero-3" else "zero-2"
