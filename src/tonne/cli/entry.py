"""Where `tonne` begins. Commands that start a measurement are sent on before the command-line framework is loaded."""

from __future__ import annotations

import sys

LIGHT = {"run", "attach"}


def main() -> None:
    """Run the command that the arguments name."""
    if len(sys.argv) > 1 and sys.argv[1] in LIGHT:
        from tonne.cli.running import main as measure  # noqa: PLC0415 - the command-line framework stays away

        sys.exit(measure(sys.argv[1:]))
    from tonne.cli.main import run  # noqa: PLC0415 - as above

    run()


if __name__ == "__main__":
    main()
