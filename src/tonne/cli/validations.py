"""`tonne validate`: forecasts beside what was published about real runs."""

from __future__ import annotations

import json

from tonne.documents import SCHEMA_VERSION, plain
from tonne.reference import DATA_VERSION
from tonne.reference.step_residuals import StepResidual
from tonne.report.inference_validation_text import inference_validation_lines
from tonne.report.validation_text import lines
from tonne.validation import InferenceValidation, Validation, validate, validate_inference


def run(*, with_rows: bool = False, as_json: bool = False, of_inference: bool = False) -> None:
    """Print how forecasts fare against published runs, by gate."""
    found: Validation | InferenceValidation = validate_inference() if of_inference else validate()
    if as_json:
        whole = {"schema_version": SCHEMA_VERSION, **found.to_dict(), "data_version": DATA_VERSION}
        print(json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False))
    elif isinstance(found, InferenceValidation):
        print("\n".join(inference_validation_lines(found, with_rows=with_rows)))
    else:
        print("\n".join(lines(found, with_rows=with_rows)))


def run_steps(*, with_rows: bool = False, as_json: bool = False, refit: bool = False) -> None:
    """Print the cross-validation of the step's time: as the calibration left it, or run again."""
    from tonne.report import steps_text  # noqa: PLC0415 - the other validation does not need it
    from tonne.validation.throughput import validate_steps  # noqa: PLC0415

    found = validate_steps(_refitted() if refit else None)
    if as_json:
        whole = {"schema_version": SCHEMA_VERSION, **plain(found), "passed": found.passed, "data_version": DATA_VERSION}
        print(json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n".join(steps_text.lines(found, with_rows=with_rows)))


def run_memory(*, with_rows: bool = False, as_json: bool = False) -> None:
    """Print the cross-validation of memory, as the calibration left it."""
    from tonne.report import memory_text  # noqa: PLC0415 - the other validation does not need it
    from tonne.validation.memory import validate_memory  # noqa: PLC0415

    found = validate_memory()
    if as_json:
        whole = {"schema_version": SCHEMA_VERSION, **plain(found), "passed": found.passed, "data_version": DATA_VERSION}
        print(json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        print("\n".join(memory_text.lines(found, with_rows=with_rows)))


def _refitted() -> list[StepResidual]:
    from tonne.calibrate.time_table import fitted_time_model  # noqa: PLC0415 - needs SciPy

    return fitted_time_model()[1]
