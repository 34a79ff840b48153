"""ON WHAT: the accelerators of a run and how they stand in servers."""

from __future__ import annotations

from pydantic import Field, field_validator

from tonne.describe.quantity import NonNegative, Positive
from tonne.describe.section import Section
from tonne.reference.accelerators import AcceleratorRecord, accelerator


class Cluster(Section):
    """Accelerators of one kind and their servers. Watts are per accelerator; given ones replace the power model."""

    accelerator: str = Field(description="name of the accelerator, found forgivingly")
    accelerators: int | None = Field(default=None, ge=1, description="how many")
    accelerators_per_node: int = Field(default=8, ge=1, description="how many in one server")
    power_cap_w: float | None = Field(default=None, gt=0, description="power limit set on each accelerator [W]")
    network_gbit_per_s: float | None = Field(default=None, gt=0, description="network of one accelerator [Gbit/s]")
    accelerator_power_w: Positive | None = None
    host_power_w: NonNegative | None = None
    network_power_w: NonNegative | None = None

    @field_validator("accelerator")
    @classmethod
    def _known(cls, name: str) -> str:
        accelerator(name)  # raises with the candidates
        return name

    @property
    def record(self) -> AcceleratorRecord:
        """The table's row of the accelerator."""
        return accelerator(self.accelerator).record

    @property
    def note(self) -> str | None:
        """How the name was read, where that was a choice."""
        return accelerator(self.accelerator).note
