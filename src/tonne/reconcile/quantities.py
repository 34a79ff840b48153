"""What is compared, and through which numbers each follows from the work of the run: the chains of its factors."""

from __future__ import annotations

from dataclasses import dataclass

TOKENS, STEPS, FLOP = "tokens", "steps", "flop"
STEPPING, HELD = "stepping_h", "held_h"  # hours of all accelerators; of the run, where it has none
DURATION = "duration_s"
PARTS = ("accelerators", "cpu", "memory", "host_rest", "hosts", "network", "storage")
SERVERS, IT, FACILITY = "energy.servers_kwh", "energy.it_kwh", "energy.facility_kwh"
LOCATION, MARKET = "carbon.operational_location_kgco2e", "carbon.operational_market_kgco2e"
EMBODIED, COST, ENERGY_COST = "carbon.embodied_kgco2e", "cost_usd", "energy_cost_usd"
STEP_TIME, FRACTION, GOODPUT = (
    "throughput.step_time_s", "throughput.achieved_peak_fraction", "throughput.goodput",
)  # fmt: skip
QUANTITIES = (
    DURATION, "accelerator_hours", STEP_TIME, FRACTION, GOODPUT,
    *(f"energy.{part}_kwh" for part in PARTS[:5]), SERVERS, *(f"energy.{part}_kwh" for part in PARTS[5:]), IT, FACILITY,
    LOCATION, MARKET, EMBODIED, "water_l", "water_on_site_l", "water_off_site_l", COST, ENERGY_COST,
)  # fmt: skip
BEFORE = {  # the number that each is a multiple of, where that is not the hours
    IT: SERVERS,
    FACILITY: IT,
    LOCATION: FACILITY,
    MARKET: FACILITY,
    "water_l": FACILITY,
    "water_on_site_l": IT,
    "water_off_site_l": FACILITY,
    ENERGY_COST: FACILITY,
}
OF_ENERGY = (SERVERS, *BEFORE)
KILO, SECONDS_PER_HOUR = 1e3, 3600.0
WATTS = {f"energy.{part}_kwh": f"{part}_w" for part in (*PARTS, "servers")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What leads from one number of a chain to the next.

    ``name``: the unit in the name. ``scale``: from the ratio of the two numbers to that unit. ``turned``: the name is
    of the reciprocal. ``watts``: it is a power. ``place``: a number of the place or of the hardware, which both sides
    may have from one source.
    """

    name: str
    scale: float = 1.0
    turned: bool = False
    watts: bool = False
    place: bool = False


LINKS = {
    TOKENS: Link(name="tokens"),
    STEPS: Link(name="steps"),
    STEPPING: Link(name="flop_per_s", scale=SECONDS_PER_HOUR, turned=True),
    HELD: Link(name="goodput", turned=True),
    DURATION: Link(name="accelerators", scale=1 / SECONDS_PER_HOUR, turned=True),
    **{path: Link(name=name, scale=KILO, watts=True) for path, name in WATTS.items()},
    IT: Link(name="it_over_servers"),
    FACILITY: Link(name="pue", place=True),
    LOCATION: Link(name="grid_gco2e_per_kwh", scale=KILO, place=True),
    MARKET: Link(name="market_gco2e_per_kwh", scale=KILO, place=True),
    EMBODIED: Link(name="embodied_gco2e_per_hour", scale=KILO, place=True),
    "water_l": Link(name="water_l_per_kwh", place=True),
    "water_on_site_l": Link(name="wue_l_per_kwh", place=True),
    "water_off_site_l": Link(name="grid_wue_l_per_kwh", place=True),
    COST: Link(name="usd_per_hour", place=True),
    ENERGY_COST: Link(name="usd_per_kwh", place=True),
    STEP_TIME: Link(name="s_per_step"),
    FRACTION: Link(name="achieved_peak_fraction"),
    GOODPUT: Link(name="goodput"),
}
USD_PER_KWH = LINKS[ENERGY_COST]


def link_to(level: str, start: str, *, of_energy: bool = False) -> Link:
    """What leads to a number of a chain.

    Args:
        level: The number.
        start: What the chain starts with: tokens or steps.
        of_energy: Whether a cost is that of electricity.
    """
    if level == FLOP:
        return Link(name=f"flop_per_{start.removesuffix('s')}")
    return USD_PER_KWH if level == COST and of_energy else LINKS[level]


def chain_of(quantity: str, start: str, *, accelerators: bool, of_energy: bool = False) -> tuple[str, ...]:
    """The numbers through which a quantity follows from the work, ending with itself.

    Args:
        quantity: Path in the Account.
        start: Tokens or steps, whichever both sides know.
        accelerators: Whether the hours are those of accelerators, and not of the run.
        of_energy: Whether a cost is that of electricity, and not a rent.
    """
    if quantity in {STEP_TIME, FRACTION, GOODPUT}:
        return (quantity,)
    work = (start, FLOP, STEPPING, HELD)
    if quantity == "accelerator_hours":
        return work if accelerators else (quantity,)
    if quantity == DURATION:
        return (*work, DURATION) if accelerators else work
    tail = [quantity]
    before = {**BEFORE, COST: FACILITY} if of_energy else BEFORE
    while tail[0] in before:
        tail.insert(0, before[tail[0]])
    return (*work, *tail)
