"""A quantity that the user may give as a plain number or with an interval and a source."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from tonne.errors import DescriptionError
from tonne.estimate import Basis, Estimate


class Quantity(BaseModel):
    """A value, its 90 % interval and where it comes from. A plain number is exact."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    low: float | None = None
    high: float | None = None
    source: str = "given by the user"

    @model_validator(mode="after")
    def _ordered(self) -> Quantity:
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not low <= self.value <= high:
            raise DescriptionError(
                f"low={low}, value={self.value}, high={high} are not in order. Give low <= value <= high, "
                f"the 5th and 95th percentile around the value."
            )
        return self

    def estimate(self) -> Estimate:
        """The quantity as an Estimate; basis published where an interval or a source was given."""
        return Estimate(
            value=self.value,
            low=self.value if self.low is None else self.low,
            high=self.value if self.high is None else self.high,
            basis=Basis.PUBLISHED,
            sources=(self.source,),
        )


def _from_number(value: object) -> object:
    return {"value": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


FROM_NUMBER = BeforeValidator(_from_number)


def in_range(minimum: float, at_most: float = math.inf, *, exclusive: bool = False) -> AfterValidator:
    """A check that value, low and high of a Quantity lie in a range; `exclusive` leaves the minimum itself out."""

    def check(quantity: Quantity) -> Quantity:
        smallest = quantity.value if quantity.low is None else quantity.low
        largest = quantity.value if quantity.high is None else quantity.high
        if smallest < minimum or (exclusive and smallest == minimum) or largest > at_most:
            bound = f"above {minimum:g}" if exclusive else f"at least {minimum:g}"
            upper = "" if math.isinf(at_most) else f" and at most {at_most:g}"
            given = f"{smallest:g}" if smallest == largest else f"{smallest:g} to {largest:g}"
            raise DescriptionError(f"{given} is out of range: it must be {bound}{upper}.")
        return quantity

    return AfterValidator(check)


NonNegative = Annotated[Quantity, FROM_NUMBER, in_range(0.0)]
Positive = Annotated[Quantity, FROM_NUMBER, in_range(0.0, exclusive=True)]
Share = Annotated[Quantity, FROM_NUMBER, in_range(0.0, 1.0, exclusive=True)]
Pue = Annotated[Quantity, FROM_NUMBER, in_range(1.0, 5.0)]
Intensity = Annotated[Quantity, FROM_NUMBER, in_range(0.0, 5000.0)]
Multiplier = Annotated[Quantity, FROM_NUMBER, in_range(1.0)]
