"""A measured run's journal as the ledger keeps it: its account, its power over time, its windows, its evidence."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tonne.account import Account
from tonne.documents import plain
from tonne.errors import TonneError
from tonne.ledger.records import MEASURED, Evidence, Run, Stage, Work
from tonne.ledger.series import power_series
from tonne.ledger.unread import labels_of
from tonne.measure import journal, status
from tonne.measure.accounting import account_of
from tonne.measure.recover import listed
from tonne.measure.replay import Measured, NodeUse, measured, node_use
from tonne.measure.sensors.protocol import ACCELERATOR
from tonne.measure.sites import site_of
from tonne.measure.windows import CALLS, main_window

MOST_STAGES = 50  # those that took the longest
OVERLAP = 1.001  # rounding is none


def run_of_journal(folder: str) -> Run:
    """The run in a folder, as far as it is.

    Raises:
        MeasurementError: There is no journal, or it says nothing.
    """
    whole = measured(folder, window=main_window(folder))
    standing = listed(folder)
    account, site, notes = _account(whole)
    lasted_s = 0.0 if account.duration_s is None else float(account.duration_s.value)
    stages = _stages(whole, site)
    if sum(stage.duration_s for stage in stages) > OVERLAP * lasted_s:
        notes += ("its windows overlap, or ranks pass through them side by side: they add up to more than the run",)
    project, purpose, tags = labels_of(m.header for node in whole.nodes for m in node.members)
    return Run(
        id=whole.run,
        name=whole.name,
        kind=MEASURED,
        status=whole.status or status.INTERRUPTED,
        begun_unix_s=whole.begun_unix_s,
        ended_unix_s=None if standing is None else standing.ended_unix_s,
        purpose=purpose,
        project=project,
        tags=tags,
        account=account,
        work=_work(whole),
        site=site,
        hardware=_hardware(whole.nodes),
        nodes=len(whole.nodes),
        stages=stages,
        series=power_series(whole.nodes, whole.begun_unix_s, _span_s(whole)),
        evidence=_evidence(whole, account),
        notes=notes,
    )


def _account(whole: Measured) -> tuple[Account, dict[str, Any] | None, tuple[str, ...]]:
    """Account, place, and a note where the place that was given is none: the energy is good all the same."""
    try:
        site = site_of(whole.site)
        return account_of(whole), plain(site), ()
    except TonneError as error:
        note = f"its place {whole.site!r} is unknown, and so is its CO2e: {error}"
        return account_of(replace(whole, site=None)), None, (note,)


def _span_s(whole: Measured) -> float:
    """From the begin of the run to its end, pauses between its stretches counted [s]."""
    ends = [
        member.header["unix_s"] + (end - member.header["t"]) / 1e9
        for node in whole.nodes
        for member in node.members
        for _, end in member.stretches
    ]
    return max(ends, default=whole.begun_unix_s) - whole.begun_unix_s


def _stages(whole: Measured, site: dict[str, Any] | None) -> tuple[Stage, ...]:
    """The windows of the run by their names, the longest ones, in the order of their length."""
    lasted: dict[str, float] = {}
    for node in whole.nodes:
        for member in node.members:
            for name, use in member.windows.items():
                lasted[name] = max(lasted.get(name, 0.0), use.lasted_s)
    found = []
    for name, lasted_s in sorted(lasted.items(), key=lambda item: -item[1])[:MOST_STAGES]:
        if name != CALLS:
            nodes = tuple(node_use(list(node.members), name) for node in whole.nodes)
            account = account_of(replace(whole, nodes=nodes, site=None), site=site)
            found.append(Stage(name=name, duration_s=lasted_s, it_kwh=account.energy.it_kwh, count=whole.windows[name]))
    return tuple(found)


def _work(whole: Measured) -> Work:
    """Steps and tokens as the program told them."""
    if not whole.progress:
        return Work()
    last = whole.progress[-1]
    tokens = last.get("tokens")
    return Work(steps=int(last["step"]), tokens=None if tokens is None else int(tokens))


def _hardware(nodes: tuple[NodeUse, ...]) -> Mapping[str, int]:
    """Names of accelerators and how many; where there are none, of processors."""
    boards: Counter[str] = Counter()
    for node in nodes:
        named = {
            part: use.of.device or "accelerator"
            for use in node.sensors
            for part in use.of.covers
            if part.startswith(ACCELERATOR)
        }
        boards.update(named.values())
    if boards:
        return dict(boards)
    processors: Counter[str] = Counter()
    for node in nodes:
        processors[node.facts.cpu or "processor"] += node.facts.sockets
    return dict(processors)


def _evidence(whole: Measured, account: Account) -> Evidence:
    digest, count = journal_digest(whole.folder)
    header = whole.header
    return Evidence(
        tonne_version=header.get("tonne"),
        data_version=account.data_version,
        python=header.get("python"),
        platform=header.get("platform"),
        journal_sha256=digest,
        journal_lines=count,
        journal_stamps=tuple(sorted({m.stamp for node in whole.nodes for m in node.members})),
    )


def journal_digest(folder: str) -> tuple[str, int]:
    """SHA-256 and number of lines of a journal; of several files, SHA-256 of what sha256sum prints of them."""
    sums, count = [], 0
    for path in journal.paths(folder):
        digest = hashlib.sha256()
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                count += block.count(b"\n")
        sums.append((digest.hexdigest(), os.path.basename(path)))  # noqa: PTH119 - a text of the journal's
    if len(sums) == 1:
        return sums[0][0], count
    return hashlib.sha256("".join(f"{one}  {name}\n" for one, name in sums).encode()).hexdigest(), count
