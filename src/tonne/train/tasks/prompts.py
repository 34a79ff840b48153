"""Text from text by a decoder: a prompt that holds the input, and the answer after it; only the answer is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tonne.train.objectives.example import Example
from tonne.train.samples import NOTHING
from tonne.train.tasks.classification import check_not_empty
from tonne.train.tasks.form import Encoded, Loss, Reading, Tokens, shortened
from tonne.train.tasks.frame import end_token

if TYPE_CHECKING:
    from tonne.describe.task import Task
    from tonne.train.labelled import Labelled

LINE_END = "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptedText:
    """Translation and summarisation as a prompt, and instructions; the answer ends with the vocabulary's end token."""

    reading: Reading
    loss: ClassVar[Loss] = "text"

    def encoded(self, examples: Sequence[Labelled]) -> list[Encoded]:
        """One sequence of each."""
        r, end = self.reading, end_token(self.reading.tokenizer)
        answers = r.tokenizer.encode([target_of(example, r.task) for example in examples])
        found = []
        for owner, (prompt, answer) in enumerate(zip(self.prompts(examples), answers, strict=True)):
            said, cut = shortened(answer, r.limits.target - 1)
            tokens = np.concatenate([prompt[0], said.astype(np.int64)])
            check_not_empty(prompt[0], examples[owner])
            targets = np.append(tokens[1:], end)
            targets[: len(prompt[0]) - 1] = NOTHING
            made = Example(tokens=tokens, targets=targets)
            found.append(Encoded(example=made, owner=owner, cut=prompt[1] + cut))
        return found

    def prompts(self, examples: Sequence[Labelled]) -> list[tuple[Tokens, int]]:
        """What the decoder reads of each before it writes, and how many tokens of the input were left out."""
        r = self.reading
        whole = r.tokenizer.encode([self.text(example) for example in examples])
        room = r.limits.source - len(r.frame.before)
        found = []
        for example, tokens in zip(examples, whole, strict=True):
            kept = tokens if len(tokens) <= room else self._fitted(example, room)
            framed = np.array([*r.frame.before, *kept], dtype=np.int64)
            found.append((framed, len(tokens) - len(kept)))
        return found

    def text(self, example: Labelled, source: str | None = None) -> str:
        """The prompt of an example, or with another input in its place."""
        task = self.reading.task
        role = task.inputs[0]
        given = getattr(example, role) if source is None else source
        if task.prompt is not None:
            return task.prompt.format(**{role: given}) + task.target_prefix
        return f"{task.source_prefix}{given}{LINE_END}{task.target_prefix}"

    def _fitted(self, example: Labelled, room: int) -> Tokens:
        """The prompt with as much of its input as there is room for: what frames the input is never cut."""
        encode, given = self.reading.tokenizer.encode_with_offsets, getattr(example, self.reading.task.inputs[0])
        ids, offsets = encode([given])[0]
        keep = len(ids)
        while True:
            tokens = self.reading.tokenizer.encode(
                [self.text(example, given[: int(offsets[keep - 1, 1])] if keep else "")]
            )[0]
            if len(tokens) <= room or not keep:
                return tokens[:room].astype(np.int64)
            keep = max(keep - (len(tokens) - room), 0)


def target_of(example: Labelled, task: Task) -> str:
    """The text that should be written; empty where there is none, as in what is only predicted."""
    role = task.reference
    return "" if role is None else str(getattr(example, role))
