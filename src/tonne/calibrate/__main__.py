"""`python -m tonne.calibrate [FILE]`: write the calibration table anew (by default the package's own).

The line of assumed batches is written beside it.

`python -m tonne.calibrate inference [FILE]` writes the coefficients of serving, from inference_runs.csv;
`python -m tonne.calibrate steps [FOLDER]` the three tables of the time model, from throughput.csv;
`python -m tonne.calibrate memory [FOLDER]` the two tables of the memory model, from measured_memory.csv.

Reads throughput.csv, published_runs.csv and recovery_evidence.csv of the package. Run it after one of them changed, and
commit the result with a changelog line: it moves users' hours.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import tonne.reference
from tonne.calibrate.batches import write_batch_line
from tonne.calibrate.inference import write_inference_table
from tonne.calibrate.memory_table import write_memory_model
from tonne.calibrate.table import fitted_coefficients, write_table
from tonne.calibrate.time_table import write_time_model
from tonne.reference.table import table


def main(arguments: list[str]) -> None:
    """Write the table to the file named, or over the package's own."""
    own = Path(str(tonne.reference.__file__)).parent / "tables" / "calibration.csv"
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log = logging.getLogger("tonne.calibrate")
    if arguments[:1] == ["inference"]:
        of_use = Path(arguments[1]) if arguments[1:] else own.with_name("inference_coefficients.csv")
        log.info("wrote %d coefficients to %s", write_inference_table(of_use), of_use)
        return
    if arguments[:1] == ["steps"]:
        folder = Path(arguments[1]) if arguments[1:] else own.parent
        log.info("fitted %d measured steps; wrote the time model to %s", write_time_model(folder), folder)
        return
    if arguments[:1] == ["memory"]:
        folder = Path(arguments[1]) if arguments[1:] else own.parent
        log.info("fitted %d readings of memory; wrote the memory model to %s", write_memory_model(folder), folder)
        return
    path = Path(arguments[0]) if arguments else own
    write_batch_line(table("throughput"), table("published_runs"), path.with_name("assumed_batch.csv"))
    coefficients = fitted_coefficients()
    write_table(coefficients, path)
    log.info("wrote %d coefficients to %s", len(coefficients), path)


if __name__ == "__main__":
    main(sys.argv[1:])
