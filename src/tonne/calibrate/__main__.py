"""`python -m tonne.calibrate [FILE]`: write the calibration table anew (by default the package's own).

Reads throughput.csv and published_runs.csv of the package. Run it after either of them changed, and commit the result
with a changelog line: it moves users' hours.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import tonne.reference
from tonne.calibrate.table import fitted_coefficients, write_table


def main(arguments: list[str]) -> None:
    """Write the table to the file named, or over the package's own."""
    own = Path(str(tonne.reference.__file__)).parent / "tables" / "calibration.csv"
    path = Path(arguments[0]) if arguments else own
    coefficients = fitted_coefficients()
    write_table(coefficients, path)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("tonne.calibrate").info("wrote %d coefficients to %s", len(coefficients), path)


if __name__ == "__main__":
    main(sys.argv[1:])
