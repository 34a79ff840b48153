"""`tonne generate`: what a model makes of a prompt, on standard output as it comes."""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.documents import SCHEMA_VERSION
from tonne.errors import DescriptionError, MissingPackageError, PlanFileError

if TYPE_CHECKING:
    from tonne.model.generation import Strategy

SEEDS = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The options that say how tokens are chosen; without any, the most probable one each time."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    beams: int | None = None
    length_penalty: float | None = None

    def strategy(self) -> Strategy:
        """Greedy, sampling or a beam. Sampling without a seed draws one, so that its text can be had again.

        Raises:
            DescriptionError: Options exclude one another, or one is out of its range.
        """
        from tonne.model.beam import Beam  # noqa: PLC0415 - torch is loaded when it is needed
        from tonne.model.sampling import Greedy, Sampling  # noqa: PLC0415

        drawn = {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "seed")}
        drawn = {name: value for name, value in drawn.items() if value is not None}
        if self.beams is not None:
            if drawn:
                option = f"--{next(iter(drawn)).replace('_', '-')}"
                raise DescriptionError(f"--beams searches, {option} draws at random: give one of them.")
            return Beam(size=self.beams, length_penalty=1.0 if self.length_penalty is None else self.length_penalty)
        if self.length_penalty is not None:
            raise DescriptionError("--length-penalty has a meaning with --beams only, e.g. --beams 4.")
        return Sampling(**{"seed": random.randrange(SEEDS), **drawn}) if drawn else Greedy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Where the text to go on from stands; without either, on standard input."""

    prompt: str | None = None
    file: str | None = None

    def check(self) -> None:
        """Say what is wrong before a model is read.

        Raises:
            DescriptionError: Both were given, or nothing is there.
            PlanFileError: There is no such file.
        """
        if self.prompt is not None and self.file is not None:
            raise DescriptionError("--prompt and --file were both given. Give one of them.")
        if self.file is not None and not Path(self.file).is_file():
            raise PlanFileError(f"--file {self.file} does not exist or is no file. Give a text file, or --prompt TEXT.")
        if self.prompt is None and self.file is None and sys.stdin.isatty():
            raise DescriptionError("there is no prompt. Give --prompt TEXT, --file FILE, or text on standard input.")

    def read(self) -> str:
        """The text. The line end at the end of a file is not part of it.

        Raises:
            PlanFileError: It is not UTF-8.
        """
        if self.prompt is not None:
            return self.prompt
        content = Path(self.file).read_bytes() if self.file is not None else sys.stdin.buffer.read()
        try:
            return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            where = f"--file {self.file}" if self.file is not None else "standard input"
            raise PlanFileError(f"{where} is not UTF-8 text: {error}. Convert it first.") from None


def run(folder: str, text: Text, choice: Choice, *, max_new_tokens: int | None, stop: list[str], as_json: bool) -> None:
    """Print what the model makes of the prompt."""
    text.check()
    if "" in stop:
        raise DescriptionError("--stop is empty. Give a text at which to stop, or leave it out.")
    try:
        from tonne.model.text import continued, read_text_model  # noqa: PLC0415 - torch is loaded when it is needed
    except ModuleNotFoundError as missing:
        raise MissingPackageError(f"tonne generate needs {missing.name}. Run: pip install 'tonne[train]'") from None
    strategy = choice.strategy()
    texts = read_text_model(folder)
    prompt = text.read()
    start = time.perf_counter()
    made = continued(
        texts,
        prompt,
        strategy=strategy,
        max_new_tokens=max_new_tokens,
        stop_texts=stop,
        write=(lambda _: None) if as_json else _print_piece,
    )
    duration_s = time.perf_counter() - start
    how = {"kind": type(strategy).__name__.lower(), **asdict(strategy)}
    if as_json:
        whole = {"schema_version": SCHEMA_VERSION, "model": folder, "prompt": prompt, **asdict(made)}
        print(json.dumps({**whole, "strategy": how, "duration_s": duration_s}, indent=2, ensure_ascii=False))
    else:
        print(flush=True)
        print(_summary(asdict(made), how, duration_s), file=sys.stderr)


def _print_piece(piece: str) -> None:
    print(piece, end="", flush=True)


def _summary(made: dict[str, Any], how: dict[str, Any], duration_s: float) -> str:
    """What was done, in a line."""
    rate = made["new_tokens"] / duration_s
    seed = f", seed {how['seed']}" if "seed" in how else ""
    return (
        f"{made['new_tokens']:,} new tokens after {made['prompt_tokens']:,} of the prompt; ended by {made['ended']}; "
        f"{how['kind']}{seed}; {duration_s:.2f} s, {rate:,.0f} tokens/s"
    )
