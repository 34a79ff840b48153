"""Lenses: what each rule counts of the same runs. One ledger, many answers, each with its reasons."""

from tonne.ledger.lenses.rules import Lens, lens_named, lenses
from tonne.ledger.lenses.totals import Total
from tonne.ledger.lenses.view import Line, View, view

__all__ = ["Lens", "Line", "Total", "View", "lens_named", "lenses", "view"]
