"""What a fine-tuning adds to a run: its task, its losses, what scores it, and what it leaves beside the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.train.losses import Losses
from tonne.train.tasks.losses import losses_of

if TYPE_CHECKING:
    from torch import nn

    from tonne.describe.adapters import Lora
    from tonne.describe.task import Task
    from tonne.describe.training import Training
    from tonne.model.transformer import Transformer
    from tonne.train.evaluation import Judge
    from tonne.train.tasks.form import Form, Loss

TASK, CONFIG = "task.json", "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A task as a run learns it.

    Attributes:
        task: The section ``[task]``.
        form: How its examples are read; None where text itself is learned.
        labels: In the order of their numbers.
        weights: What an example of each label counts; None: each once.
        lora: The adapters that learn; None: the model itself does.
        notes: What is told before the first step.
        judge: Scores the held-out examples; None: their loss alone is looked at.
        pretrained: Whether there is a model that training starts from.
        origin: Its folder.
        start: Token that an encoder-decoder's decoder begins with.
        choices: Of a new head: labels, or the places of a sequence in the mean; None where tokens are predicted.
    """

    task: Task
    form: Form | None = None
    labels: tuple[str, ...] = ()
    weights: tuple[float, ...] | None = None
    lora: Lora | None = None
    notes: tuple[str, ...] = ()
    judge: Judge | None = None
    pretrained: bool = False
    origin: Path | None = None
    start: int | None = None
    choices: int | None = None

    @property
    def loss(self) -> Loss:
        """Which loss the sequences have."""
        return "text" if self.form is None else self.form.loss

    def facts(self) -> dict[str, Any]:
        """What a resumed run must share."""
        return {**self.task.model_dump(mode="json"), "label_order": list(self.labels)}

    def losses(self, model: Transformer, training: Training) -> nn.Module:
        """What is called in training."""
        if self.form is None:
            return Losses(model, label_smoothing=training.label_smoothing)
        return losses_of(model, self.loss, weights=self.weights, label_smoothing=training.label_smoothing)

    def write(self, folder: Path) -> None:
        """Write beside a model what reads it needs: the task, and in its config.json the names of the labels."""
        limits = None if self.form is None else self.form.reading.limits
        known = self.task.model_copy(
            update={
                "labels": self.labels or None,
                **({} if limits is None else {"max_source_length": limits.source}),
                **({"max_target_length": limits.target} if limits is not None and self.task.writes else {}),
            }
        )
        (folder / TASK).write_text(known.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
        if (folder / CONFIG).exists():
            self._write_config(folder / CONFIG)

    def _write_config(self, file: Path) -> None:
        """Names of labels, and the token that a decoder begins with, as transformers reads them."""
        fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if self.labels:
            fields["id2label"] = {str(number): label for number, label in enumerate(self.labels)}
            fields["label2id"] = {label: number for number, label in enumerate(self.labels)}
        if self.start is not None:
            fields["decoder_start_token_id"] = self.start
        file.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
