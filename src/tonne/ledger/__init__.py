"""Every forecast and every run, kept: what the ledger knows of each, and the book itself."""

from tonne.ledger.records import Evidence, Link, Run, Series, Stage, Work

__all__ = ["Evidence", "Link", "Run", "Series", "Stage", "Work"]
