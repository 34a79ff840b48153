"""Text that a model writes while it learns: the quickest look at what it has understood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from tonne.model.transformer import Transformer
    from tonne.train.tokenizer import TextTokenizer

FILE = "samples.jsonl"
TEMPERATURE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Writes a sample of a decoder's text to the run's folder, drawn alike at every look."""

    model: Transformer
    tokenizer: TextTokenizer
    folder: Path
    prompt: str
    tokens: int
    seed: int
    device: torch.device

    def write(self, step: int) -> str:
        """One more line: the step and the text."""
        text = self.text()
        with (self.folder / FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "text": text}, ensure_ascii=False) + "\n")
        return text

    @torch.no_grad()
    def text(self) -> str:
        """What the model writes after the prompt."""
        from tonne.model.generation import generate  # noqa: PLC0415 - many runs write nothing
        from tonne.model.sampling import Sampling  # noqa: PLC0415 - as above

        prompt = [int(token) for token in self.tokenizer.encode([self.prompt])[0]] if self.prompt else []
        start = self.tokenizer.special.delimiter
        ids = prompt if start is None else [start, *prompt]
        tokens = torch.tensor([ids or [0]], device=self.device)
        was_training = self.model.training
        self.model.eval()
        made = generate(
            self.model,
            tokens,
            max_new_tokens=self._room(tokens.shape[1]),
            strategy=Sampling(temperature=TEMPERATURE, seed=self.seed),
        )
        self.model.train(was_training)
        return self.tokenizer.decode(made[0].tolist())

    def _room(self, prompt: int) -> int:
        """Tokens to write: as many as were asked for, and as the model has positions for."""
        a = self.model.architecture
        return self.tokens if a.positions != "learned" else max(1, min(self.tokens, a.max_positions - prompt))
