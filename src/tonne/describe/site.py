"""WHERE: the grid zone, the building and the prices."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from tonne.describe.quantity import Intensity, NonNegative, Pue
from tonne.describe.section import Section
from tonne.errors import DescriptionError
from tonne.reference.grids import grid
from tonne.reference.regions import region


class Site(Section):
    """The place of a run. Nothing is guessed: without a place there is no CO2e."""

    grid: str | None = None
    region: str | None = None
    grid_gco2e_per_kwh: Intensity | None = None
    grid_basis: Literal["lifecycle", "direct"] = "lifecycle"
    market_gco2e_per_kwh: Intensity | None = None
    pue: Pue | None = None
    wue_l_per_kwh: NonNegative | None = None
    grid_wue_l_per_kwh: NonNegative | None = None
    storage_power_w: NonNegative | None = None
    usd_per_kwh: NonNegative | None = None
    usd_per_accelerator_hour: NonNegative | None = None

    @model_validator(mode="after")
    def _place(self) -> Site:
        if self.grid is not None and self.region is not None:
            raise DescriptionError(
                f"grid={self.grid!r} and region={self.region!r} both name a place. Give one of them."
            )
        if self.grid is not None:
            grid(self.grid, self.grid_basis)  # raises with the candidates
        if self.region is not None:
            region(self.region)
        return self
