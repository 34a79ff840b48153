"""What is asked of a run beside its plan: where it is, what it is for, what it may take, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonne.describe.site import Site
from tonne.errors import DescriptionError
from tonne.measure.environment import labels
from tonne.measure.limits import Limits, require_known
from tonne.measure.purposes import purpose_named
from tonne.measure.sites import site_of

if TYPE_CHECKING:
    from tonne.account import Account
    from tonne.measure.progress import Expected
    from tonne.workflow.foretelling import Foretold


def _silent(_: str) -> None:
    return None


def _no_lines(_: Foretold) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a run is measured, limited and kept.

    Attributes:
        site: Where it is, as of `tonne.track`; left out, the plan's [site] where that names a place.
        usd_per_kwh: Price of electricity, in place of the site's.
        limits: The most that it may take.
        enforce: Whether it is stopped, saved, at a limit.
        measured: Whether sensors are read, and the run is kept in the ledger.
        name: What the run is called; left out, as the plan.
        project: That it belongs to; left out, TONNE_PROJECT.
        purpose: What it is for; left out, TONNE_PURPOSE, else "final", or "fine-tuning" of a fine-tuning.
        tags: Further words by which to find it; those of TONNE_TAGS are added.
        interval_s: Time between two readings [s].
        home: Where tonne keeps its files.
        commands: That make the run again, for its evidence.
        foretold_lines: The forecast in lines, said before the first step.
        say: Told of limits and of what could not be kept.
    """

    site: Any = None
    usd_per_kwh: float | None = None
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    enforce: bool = False
    measured: bool = True
    name: str | None = None
    project: str | None = None
    purpose: str | None = None
    tags: tuple[str, ...] = ()
    interval_s: float = 1.0
    home: Path | None = None
    commands: tuple[str, ...] = ()
    foretold_lines: Callable[[Foretold], Sequence[str]] = field(default=_no_lines)
    say: Callable[[str], None] = field(default=_silent)

    def checked(self) -> Asked:
        """Itself, where what is asked makes sense.

        Raises:
            DescriptionError: A purpose that is none, a limit that nobody would see, or one without a limit to enforce.
        """
        purpose_named(self.purpose)
        if self.limits.any and not self.measured:
            raise DescriptionError(
                "a limit cannot be watched where nothing is measured. Leave --no-meter out, or the limit."
            )
        if self.enforce and not self.limits.any:
            raise DescriptionError("--enforce has no limit to enforce. Give --max-kwh, --max-kgco2e or --max-cost.")
        return self

    def labels(self, usual_purpose: str) -> dict[str, Any]:
        """Project, purpose and tags, as asked, else as the environment says."""
        project, purpose, tags = labels()
        return {
            "project": self.project or project,
            "purpose": purpose_named(self.purpose or purpose or usual_purpose),
            "tags": tuple(dict.fromkeys([*self.tags, *tags])),
        }

    def place(self, planned: Site) -> Site | None:
        """Where the run is: as asked, else as its plan says; None where neither names anything.

        Raises:
            DescriptionError: It is no place, or cannot say what a limit needs.
        """
        found = site_of(self.site) if self.site is not None else planned if planned.model_fields_set else None
        if self.usd_per_kwh is not None:
            fields = {} if found is None else found.model_dump(exclude_none=True)
            found = site_of({**fields, "usd_per_kwh": self.usd_per_kwh})
        known = found is not None and any(
            one is not None for one in (found.grid, found.region, found.grid_gco2e_per_kwh)
        )
        require_known(self.limits, place=known, price=found is not None and found.usd_per_kwh is not None)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A run as it stood when somebody last looked: its account, and where it will end."""

    account: Account
    expected: Expected | None
