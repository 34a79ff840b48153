"""The errors of tonne. Each also is the built-in error that it resembles.

TonneError
├── DescriptionError (ValueError)          a plan, an architecture or a site that cannot be
│   └── QuantityError                      a number that is none, or out of its range
├── UnknownReferenceError (LookupError)    a name that no table knows, or that several rows answer to
├── PlanFileError (ValueError)             a plan file that is missing or is not TOML
├── CheckpointError (ValueError)           a checkpoint that is damaged, of another model, or cannot be written
├── RunFolderError (OSError)               a folder that holds another run, or is in use
├── TrainingError (ArithmeticError)        a run that cannot go on: its loss is no number
├── DataError (ValueError)                 text or tokens that are missing, broken, or do not fit what reads them
│   └── StoreError                         a token store that is incomplete, or of another tokenizer
├── MissingPackageError (ImportError)      a package that an extra brings is not installed
├── WeightsError (ValueError)              weights that cannot be read, or that no format can hold
├── BrowserError (RuntimeError)            no browser to print a page with, or one that did not
├── CalibrationError (ValueError)          a file of own measured runs that cannot be read or written
├── MeasurementError (RuntimeError)        a run that was not measured, or a journal that cannot be read
├── LedgerError (RuntimeError)             a ledger that cannot be opened, or what it does not hold
└── ElementError (ValueError)              a bad element of an array; carries its index
"""

from __future__ import annotations


class TonneError(Exception):
    """Something that the user can mend; its text says how."""


class DescriptionError(TonneError, ValueError):
    """A description that cannot be right."""


class QuantityError(DescriptionError):
    """A number that is not one, or is out of range."""


class UnknownReferenceError(TonneError, LookupError):
    """A name that is unknown, or that several rows answer to."""

    def __str__(self) -> str:
        """The text as it was given (KeyError would quote it)."""
        return str(self.args[0]) if self.args else ""


class PlanFileError(TonneError, ValueError):
    """A plan file that cannot be read."""


class CheckpointError(TonneError, ValueError):
    """A checkpoint that is damaged, of another model, or cannot be written."""


class RunFolderError(TonneError, OSError):
    """A run's folder that holds another run, or that another process writes to."""


class TrainingError(TonneError, ArithmeticError):
    """A run that cannot go on: its loss or its gradients are no numbers."""


class DataError(TonneError, ValueError):
    """Text or tokens that cannot be trained on as they are."""


class StoreError(DataError):
    """A token store that is incomplete, or does not belong to the tokenizer or the model."""


class MissingPackageError(TonneError, ImportError):
    """A part of tonne needs a package that is not installed; the text names the extra."""


class WeightsError(TonneError, ValueError):
    """Weights that cannot be read as a model, or written as one."""


class BrowserError(TonneError, RuntimeError):
    """No browser is installed that prints a page, or it did not print it."""


class CalibrationError(TonneError, ValueError):
    """A file of own measured runs that cannot be read or written."""


class MeasurementError(TonneError, RuntimeError):
    """Something asked of a measurement that it cannot say."""


class LedgerError(TonneError, RuntimeError):
    """A ledger that cannot be opened or written, or something that it does not hold."""


class ElementError(TonneError, ValueError):
    """A bad element of an array given to forecast_many."""

    def __init__(self, message: str, index: int) -> None:
        """Keep the index of the element beside the message."""
        super().__init__(message)
        self.index = index
