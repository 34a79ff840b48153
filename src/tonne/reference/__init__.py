"""Numbers from the world, each row with its source."""

from __future__ import annotations

from tonne.reference.table import DATA_VERSION

__all__ = ["DATA_VERSION"]
