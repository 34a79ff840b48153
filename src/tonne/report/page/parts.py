"""Where it went: energy by part, time by stage, and what was lost."""

from __future__ import annotations

from collections.abc import Iterator

from tonne.account import Account
from tonne.estimate import Estimate
from tonne.ledger.records import Stage
from tonne.report.numbers import ENERGY_KWH, TIME_S, rounded
from tonne.report.page.blocks import Block, Cell, Picture, Section, Table, Text
from tonne.report.page.coefficients import source_cell
from tonne.report.page.language import Words, number_text, percent, shown
from tonne.report.page.pictures import Bar, bars_chart
from tonne.report.page.quantities import PARTS, WHOLES, estimate_at
from tonne.report.page.subject import Subject
from tonne.report.page.unknown import unknown

OVERHEAD = "overhead"  # of the building: what PUE adds
HOST_PARTS = ("cpu_kwh", "memory_kwh", "host_rest_kwh")
ORDER = ("accelerators_kwh", "servers_kwh", *HOST_PARTS, "hosts_kwh", "network_kwh", "storage_kwh", OVERHEAD)
WORTH_A_BAR = 0.001
LOST = ("lost work", "lost", "waiting", "idle", "restarts")


def parts(subject: Subject, words: Words) -> Section:
    """Energy by part, then time by stage."""
    blocks: list[Block] = []
    if subject.account is not None:
        blocks += _energy(subject, subject.account, words)
    blocks += _stages(subject, words)
    return Section(
        key="parts",
        title=words.of("section.parts_to_come" if subject.is_forecast else "section.parts"),
        blocks=tuple(blocks),
        narrow=True,
    )


def _energy(subject: Subject, account: Account, words: Words) -> Iterator[Block]:
    rows = parts_kwh(subject)
    table = _energy_table(subject, account, words)
    if not rows:
        yield Text(text=words.of("parts.no_energy", why=unknown(subject, "energy.facility_kwh", words)))
        yield table
        return
    whole = sum(value for _, value in rows)
    size, unit = words.scaled(max(value for _, value in rows), ENERGY_KWH)
    bars = [Bar(name=part_name(name, words), value=value / size, text=percent(value / whole)) for name, value in rows]
    yield Picture(
        key="energy-by-part",
        title=words.of("parts.energy_title"),
        description=words.of("parts.energy_description", items=_said(bars, words)),
        chart=lambda: bars_chart(bars, words.of("chart.energy", unit=unit)),
        table=table,
    )


def parts_kwh(subject: Subject) -> list[tuple[str, float]]:
    """Those of the account; of a project, whose runs may know different ones, those of its runs added up [kWh]."""
    if not subject.is_project:
        return [] if subject.account is None else disjoint_kwh(subject.account)
    each = [dict(disjoint_kwh(run.account)) for run in subject.counted if run.account is not None]
    sums = {name: sum(one.get(name, 0.0) for one in each) for name in ORDER}
    return [(name, kwh) for name, kwh in sums.items() if kwh > 0]


def disjoint_kwh(account: Account) -> list[tuple[str, float]]:
    """Parts that add up to the building's energy, as fine as they are known [kWh]."""
    known = {name: one.value for name in PARTS if (one := estimate_at(account, f"energy.{name}")) is not None}
    hosts, servers = account.energy.hosts_kwh, account.energy.servers_kwh
    inside = [known[name] for name in HOST_PARTS if name in known]
    if hosts is not None and len(inside) < len(HOST_PARTS):
        known["hosts_kwh" if not inside else "host_rest_kwh"] = hosts.value - sum(inside)
    if servers is not None and "accelerators_kwh" not in known and hosts is None:
        known["servers_kwh"] = servers.value  # only whole servers' watts are known
    facility, it_kwh = account.energy.facility_kwh, account.energy.it_kwh
    if facility is not None and it_kwh is not None:
        known[OVERHEAD] = facility.value - it_kwh.value
    return [(name, known[name]) for name in ORDER if known.get(name, 0.0) > 0]


def part_name(name: str, words: Words) -> str:
    """The name of a part in a chart, where each stands for itself and no other."""
    return words.either(f"part.{name.removesuffix('_kwh')}", name)


def _said(bars: list[Bar], words: Words) -> str:
    return words.listed([f"{bar.name} {bar.text}" for bar in bars])


def _energy_table(subject: Subject, account: Account, words: Words) -> Table:
    heads = ["facts.what", "facts.value", "table.interval", "table.basis", "table.sources"]
    names = [*PARTS, *WHOLES, "facility_kwh"]
    if subject.is_forecast:  # its sources are those of its coefficients
        names.remove("measured_kwh")
        heads.remove("table.sources")
    return Table(
        caption=words.of("parts.energy_title"),
        heads=tuple(words.of(head) for head in heads),
        rows=tuple(_energy_row(subject, name, words)[: len(heads)] for name in names),
        numeric=frozenset({1, 2}),
    )


def _energy_row(subject: Subject, name: str, words: Words) -> tuple[Cell, ...]:
    path, label = f"energy.{name}", Cell(text=words.of(f"part.{name}"))
    estimate = estimate_at(subject.account, path)
    if estimate is None:
        return label, Cell(text=unknown(subject, path, words)), Cell(), Cell(), Cell()
    text = shown(estimate, ENERGY_KWH, words)
    basis = estimate.basis.value
    sources = Cell(text="; ".join(source_cell(one, words).text for one in estimate.sources), own_language=True)
    return label, Cell(text=text.value), Cell(text=text.interval), Cell(text=words.basis(basis), basis=basis), sources


def _stages(subject: Subject, words: Words) -> Iterator[Block]:
    stages = _added(subject)
    if stages:
        yield from _stages_picture(stages, _lasted_s(subject), words)
        lost_s = sum(stage.duration_s for stage in stages if stage.name.lower() in LOST)
        if lost_s:
            yield Text(text=words.of("parts.lost", time=number_text(lost_s, TIME_S, words)))
        else:
            yield Text(text=words.of("parts.nothing_lost"))
        return
    goodput = estimate_at(subject.account, "throughput.goodput")
    if goodput is None:
        key = "parts.no_goodput" if subject.is_forecast else "parts.no_stages"
        yield Text(text=words.of(key))
        return
    lost = Estimate(
        value=1 - goodput.value,
        low=1 - goodput.high,
        high=1 - goodput.low,
        basis=goodput.basis,
        sources=goodput.sources,
    )
    text = shown(lost, ((1e-2, "%"),), words)
    yield Text(text=words.of("parts.forecast_lost", value=text.value, interval=text.interval))


def _added(subject: Subject) -> list[Stage]:
    """The stages of all runs, those of one name together, the longest first."""
    found: dict[str, float] = {}
    for run in subject.counted:
        for stage in run.stages:
            found[stage.name] = found.get(stage.name, 0.0) + stage.duration_s
    return [Stage(name=name, duration_s=found[name]) for name in sorted(found, key=lambda name: -found[name])]


def stage_text(name: str, words: Words) -> str:
    """The name of a stage: translated where it is one of ours, else as its program called it."""
    return words.either(f"stage.{name.lower()}", name)


def _lasted_s(subject: Subject) -> float:
    """How long all of it lasted [s]; 0 where that is unknown."""
    duration = estimate_at(subject.account, "duration_s")
    return 0.0 if duration is None else float(duration.value)


def _stages_picture(stages: list[Stage], lasted_s: float, words: Words) -> Iterator[Block]:
    """Stages as shares of the whole time, with what no stage was told of; ones that overlap add up to more."""
    named_s = sum(stage.duration_s for stage in stages)
    whole = lasted_s or named_s
    if lasted_s - named_s > WORTH_A_BAR * lasted_s:
        stages = [*stages, Stage(name="rest", duration_s=lasted_s - named_s)]
    size, unit = words.scaled(max(stage.duration_s for stage in stages), TIME_S)
    bars = [
        Bar(name=stage_text(s.name, words), value=s.duration_s / size, text=percent(s.duration_s / (whole or 1.0)))
        for s in stages
    ]
    rows = tuple(
        (Cell(text=bar.name), Cell(text=f"{rounded(bar.value, 3)} {unit}"), Cell(text=bar.text)) for bar in bars
    )
    heads = (words.of("table.stage"), words.of("quantity.duration_s"), words.of("table.share"))
    yield Picture(
        key="time-by-stage",
        title=words.of("parts.time_title"),
        description=words.of("parts.time_description", items=_said(bars, words)),
        chart=lambda: bars_chart(bars, words.of("chart.time", unit=unit)),
        table=Table(caption=words.of("parts.time_title"), heads=heads, rows=rows, numeric=frozenset({1, 2})),
    )
