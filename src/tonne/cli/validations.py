"""`tonne validate`: forecasts beside what was published about real runs."""

from __future__ import annotations

import json

from tonne.reference import DATA_VERSION
from tonne.report.document import SCHEMA_VERSION
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
