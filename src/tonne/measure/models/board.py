"""Power of an accelerator that no sensor tells of, from its name."""

from __future__ import annotations

from tonne.errors import UnknownReferenceError
from tonne.estimate import Basis, Estimate
from tonne.reference.accelerators import accelerator
from tonne.reference.measuring import measuring_constant
from tonne.reference.power import power_family


def board_energy_j(device: str, time_s: float) -> tuple[Estimate | None, str]:
    """Energy of an accelerator over a run, and a note; None where its name is not known.

    Nobody saw how busy it was: it is taken to have trained, the low end being that of a board that mostly waited.

    Args:
        device: Its name, as drivers print it.
        time_s: How long the run was [s].

    Returns:
        Energy [J].
    """
    try:
        family = power_family(accelerator(device).record.id)
    except UnknownReferenceError:
        return None, f"no sensor tells of the accelerator {device or 'without a name'!r}, and no table knows it"
    limit_w, fraction = family.board_power_limit_w, family.fraction_value
    if limit_w is None or fraction is None:
        return None, f"no sensor tells of the accelerator {device!r}, and its power alone was never measured"
    low = min(measuring_constant("board_least_fraction").value, fraction)
    high = family.fraction_high or 1.0
    estimate = Estimate(
        value=fraction * limit_w * time_s,
        low=low * limit_w * time_s,
        high=high * limit_w * time_s,
        basis=Basis.ASSUMED,
        sources=(family.source,),
    )
    return (
        estimate,
        f"accelerator {device}: {fraction:.0%} of its {limit_w:g} W, as boards of its family draw in training",
    )
