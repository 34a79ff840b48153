"""Forecasts compared with what was published about the same runs."""

from tonne.validation.gates import validate
from tonne.validation.inference import InferenceValidation, validate_inference
from tonne.validation.result import Comparison, Gate, LeftOut, Summary, Validation

__all__ = [
    "Comparison",
    "Gate",
    "InferenceValidation",
    "LeftOut",
    "Summary",
    "Validation",
    "validate",
    "validate_inference",
]
