"""A plan file as ``tonne train`` reads it: the machine may be left out, for it is the one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from tonne.describe.architecture import Architecture
from tonne.describe.data import Data, Tokenizer
from tonne.describe.hardware import Cluster
from tonne.describe.heads import with_task
from tonne.describe.inference import Inference
from tonne.describe.plan import (
    Parallelism,
    Schedule,
    Software,
    described,
    plan_fields,
    with_architecture_of_start,
)
from tonne.describe.run import Run
from tonne.describe.section import Section
from tonne.describe.site import Site
from tonne.describe.start import Start
from tonne.describe.task import Task
from tonne.describe.training import Training
from tonne.errors import DescriptionError


class Recipe(Section):
    """The sections of a plan file that can be trained: those of a TrainingPlan, without the need of a [cluster]."""

    name: str = "run"
    architecture: Architecture
    data: Data
    tokenizer: Tokenizer = Tokenizer()
    training: Training = Training()
    task: Task | None = None
    start: Start = Start()
    run: Run = Run()
    parallelism: Parallelism | None = None
    software: Software = Software()
    cluster: Cluster | None = None
    site: Site = Site()
    schedule: Schedule = Schedule()
    inference: Inference | None = None

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """The recipe in a TOML file; without a name of its own it has the file's.

        Raises:
            PlanFileError: The file is missing or is not TOML.
            DescriptionError: A field is unknown or out of range, or what training needs is missing.
        """
        return cls.from_fields({"name": Path(path).stem, **plan_fields(path)}, origin=str(path))

    @classmethod
    def from_fields(cls, fields: dict[str, Any], *, origin: str = "the plan") -> Self:
        """The recipe described by nested fields, its faults told in one clear error.

        Raises:
            DescriptionError: As ``from_toml``.
        """
        return described(cls, fields, origin=origin)

    @model_validator(mode="before")
    @classmethod
    def _model_and_data(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file held
        """With the model that training starts from; what is missing is told apart from a wrong field."""
        given = with_task(with_architecture_of_start(given))
        missing = [name for name in ("architecture", "data") if not (isinstance(given, dict) and given.get(name))]
        if missing:
            raise DescriptionError(
                f"[{missing[0]}] is missing. tonne train needs the model and its data; examples/pretrain-gpt.toml is a "
                f"whole plan."
            )
        return given

    @model_validator(mode="after")
    def _trainable_here(self) -> Self:
        if not self.data.sources:
            raise DescriptionError(
                "[data] source is missing. Say what to train on, e.g. source = 'texts/', or source = 'builtin' for the "
                "documentation of the Python interpreter."
            )
        if self.training.global_batch_sequences is None:
            raise DescriptionError(
                "[training] global_batch_sequences is missing. Say how many sequences a step sees, e.g. 32."
            )
        self._changes_a_model()
        self._data_parallel_alone()
        return self

    def _changes_a_model(self) -> None:
        """Checked: what fine-tuning alone understands is left out."""
        if self.task is not None or self.training.epochs is not None:
            raise DescriptionError("[task] and epochs are for fine-tuning: run tonne finetune, or leave them out.")
        if self.data.validation_sources:
            raise DescriptionError(
                "[data] validation_source holds labelled examples, for tonne finetune. Use validation_fraction."
            )
        if self.training.token_dropout:
            raise DescriptionError(
                "token_dropout leaves words out of texts that have labels: it is for tonne finetune."
            )
        if self.training.lora is not None or self.training.frozen_layers or self.training.layer_decay != 1:
            raise DescriptionError(
                "lora, frozen_layers and layer_decay change a model that exists: tonne train pre-trains all of it."
            )

    def _data_parallel_alone(self) -> None:
        """Checked: the layout is one that the trainer has."""
        for name in ("tensor", "pipeline", "context", "expert"):
            ways = 1 if self.parallelism is None else getattr(self.parallelism, name)
            if ways > 1:
                raise DescriptionError(
                    f"[parallelism] {name}={ways}: tonne train shares out sequences alone (data, with sharding). Leave "
                    f"{name} out; tonne forecast prices it."
                )
