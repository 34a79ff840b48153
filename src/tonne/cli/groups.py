"""What the groups of commands share."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

os.environ.setdefault("TYPER_USE_RICH", "0")  # plain help starts in half the time

import typer
from typer.core import TyperGroup

from tonne.errors import TonneError

EXIT_INTERNAL, EXIT_BAD_INPUT = 1, 2


class Commands(TyperGroup):
    """The group of commands; an error that the user can mend is one line on stderr and exit code 2."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's context, and whatever the command returns
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except TonneError as error:
            print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(EXIT_BAD_INPUT) from None


Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
OwnCalibration = Annotated[
    bool,
    typer.Option("--own-calibration/--no-own-calibration", help="Forecast a plan with own measured runs of its stack."),
]
