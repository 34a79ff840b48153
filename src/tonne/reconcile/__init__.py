"""AFTER: what was forecast beside what was measured, each difference taken apart into factors."""

from tonne.reconcile.coverage import Coverage, coverage_of
from tonne.reconcile.reconciling import reconciled, reconciled_run
from tonne.reconcile.result import Comparison, Factor, Reconciliation

__all__ = [
    "Comparison",
    "Coverage",
    "Factor",
    "Reconciliation",
    "coverage_of",
    "reconciled",
    "reconciled_run",
]
