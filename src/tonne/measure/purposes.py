"""What a run is for. Light: the meter checks the word before anything is measured."""

from __future__ import annotations

from tonne.errors import DescriptionError

FINAL, FINE_TUNING, REINFORCEMENT = "final", "fine-tuning", "reinforcement"
SYNTHETIC, PUBLIC_SYNTHETIC, EVALUATION = "synthetic-data", "public-synthetic-data", "evaluation"
SWEEP, ABLATION, FAILED = "sweep", "ablation", "failed"
AUXILIARY, TEACHER, IDLE = "auxiliary", "teacher", "idle"
PURPOSES = (
    FINAL, FINE_TUNING, REINFORCEMENT, SYNTHETIC, PUBLIC_SYNTHETIC, EVALUATION,
    SWEEP, ABLATION, FAILED, AUXILIARY, TEACHER, IDLE,
)  # fmt: skip


def purpose_named(word: str | None) -> str | None:
    """The purpose of that name; None for None.

    Raises:
        DescriptionError: There is none.
    """
    if word is None or word in PURPOSES:
        return word
    raise DescriptionError(f"purpose={word!r} is none. Use one of {', '.join(PURPOSES)}.")
