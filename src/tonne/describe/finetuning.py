"""A plan file as ``tonne finetune`` reads it: a task, its examples, and the model that training starts from."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from tonne.describe.data import Data
from tonne.describe.recipe import Recipe
from tonne.describe.task import Task
from tonne.errors import DescriptionError

NOT_SAID = 0.0


class Examples(Data):
    """The section ``[data]`` of a fine-tuning: how much is trained on may be told in epochs instead."""

    tokens: float = Field(default=NOT_SAID, gt=0, description="that enter the model; left out: as many as the epochs")


class FinetuningRecipe(Recipe):
    """The sections of a plan file that fine-tunes: those of a Recipe with a ``[task]``; adapters and frozen layers too.

    How long it trains is said by ``[training] epochs``, or where that is left out by ``[data] tokens``.
    """

    data: Examples
    task: Task

    @model_validator(mode="before")
    @classmethod
    def _a_task(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file held
        if isinstance(given, dict) and not given.get("task"):
            raise DescriptionError(
                "[task] is missing. Say what the model shall learn, e.g. name = 'classification'; tonne train "
                "pre-trains without one."
            )
        return given

    @model_validator(mode="after")
    def _long_enough(self) -> FinetuningRecipe:
        if self.training.epochs is None and self.data.tokens == NOT_SAID:
            raise DescriptionError("[training] epochs is missing. Say how often the examples are passed, e.g. 3.")
        return self

    @model_validator(mode="after")
    def _words_of_whole_texts(self) -> FinetuningRecipe:
        if self.training.token_dropout and self.task.name not in ("classification", "pair-classification"):
            raise DescriptionError(
                f"[training] token_dropout thins texts with one label, and [task] name={self.task.name!r} "
                f"asks about each. Leave it out; dropout and label_smoothing are for all tasks."
            )
        return self

    def _changes_a_model(self) -> None:
        """Adapters and frozen layers are what fine-tuning is for, where there is a model to start from."""
        if (self.training.lora is not None or self.training.frozen_layers) and self.start.from_scratch:
            raise DescriptionError(
                "lora and frozen_layers keep what a model has learned, but [start] from = 'scratch' has learned "
                "nothing. Name a model, or leave them out."
            )
