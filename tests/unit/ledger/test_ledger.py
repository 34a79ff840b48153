"""The ledger keeps what it is told, finds it again, adds it up, and shows what was changed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import text

from tonne.documents import plain
from tonne.errors import DescriptionError, LedgerError
from tonne.estimate import Estimate
from tonne.ledger.book import Filter, Ledger
from tonne.ledger.chain import canonical, sha256_of
from tonne.ledger.records import Evidence, Link, Series, Stage, Work


def test_run_comes_back_as_it_was_put(ledger, make_run):
    run = make_run(
        "r1",
        purpose="sweep",
        project="p",
        tags=("a", "ü"),
        ended_unix_s=4600.0,
        work=Work(tokens=10**13, training_flop=1e24, loss=2.5, metrics={"accuracy": 0.5}),
        forecast_inputs={"pue": Estimate.exact(1.2)},
        hardware={"H100-SXM": 8},
        stages=(Stage(name="stepping", duration_s=3000.0, it_kwh=Estimate.exact(1.5)),),
        series=Series(time_s=(0.5, 1.5), power_w={"cpu": (100.0, None)}, steps=(1, 2), step_loss=(3.0, 2.5)),
        evidence=Evidence(commands=("tonne train plan.toml",)),
        links=(Link(kind="continues", to="r0"),),
        notes=("a note",),
    )
    ledger.put(run)
    found = ledger.run("r1")
    assert plain(found) == {
        **plain(run),
        "evidence": {**plain(run.evidence), "entry_sha256": ledger.head()[1]},
    }


def test_list_is_filtered_by_every_field(ledger, make_run):
    ledger.put(make_run("a", project="p", purpose="final", tags=("x", "y"), begun_unix_s=100.0))
    ledger.put(make_run("b", project="p", purpose="sweep", tags=("xy",), begun_unix_s=200.0, status="failed"))
    ledger.put(make_run("c", kind="forecast", status="forecast", begun_unix_s=300.0))
    ledger.put(make_run("d_1", name="100%_sure", kind="imported", begun_unix_s=400.0))

    def ids(**asked):
        return [row.id for row in ledger.rows(Filter(**asked))]

    assert ids() == ["d_1", "b", "a"]
    assert ids(kinds=("forecast",)) == ["c"]
    assert ids(project="p") == ["b", "a"]
    assert ids(purpose="sweep") == ["b"]
    assert ids(status="failed") == ["b"]
    assert ids(tags=("x",)) == ["a"]
    assert ids(tags=("x", "y")) == ["a"]
    assert ids(tags=("x", "xy")) == []
    assert ids(since_unix_s=200.0) == ["d_1", "b"]
    assert ids(until_unix_s=200.0) == ["a"]
    assert ids(name="100%*") == ["d_1"]
    assert ids(name="a") == ["a"]
    assert ids(ids=("a", "c")) == ["a"]
    assert ids(limit=1) == ["d_1"]
    assert ids(limit=1, offset=1) == ["b"]
    assert ledger.count(Filter(limit=1)) == 3
    with pytest.raises(DescriptionError, match=r"purpose='swep' is none\. Use one of final, fine-tuning"):
        Filter(purpose="swep")
    with pytest.raises(LedgerError, match="kind='runs' is none"):
        Filter(kinds=("runs",))


def test_totals_add_up_what_is_known_and_say_of_how_many_it_is_not(ledger, make_run, make_account):
    # 2 + 3 kWh, each known to a tenth: 4.5 to 5.5. CO2e of one run only. A forecast is no use of energy.
    ledger.put(make_run("a", project="p", account=make_account(2.0, kgco2e=None)))
    ledger.put(make_run("b", project="q", account=make_account(3.0, kgco2e=0.5)))
    ledger.put(make_run("c", kind="forecast", status="forecast", account=make_account(100.0)))
    ledger.put(make_run("d", project="q", account=None))
    found = ledger.totals()
    assert found.runs == 3
    energy = found.facility_kwh
    assert [energy.value, energy.low, energy.high] == pytest.approx([5.0, 4.5, 5.5])
    assert found.operational_location_kgco2e.value == pytest.approx(0.5)
    assert found.water_l is None
    assert found.unknown["facility_kwh"] == 1
    assert found.unknown["operational_location_kgco2e"] == 2
    assert found.unknown["water_l"] == 3
    by = ledger.totals_by("project")
    found = {project: (one.runs, one.facility_kwh.value) for project, one in by.items()}
    assert found == {"p": (1, 2.0), "q": (2, 3.0)}
    assert ledger.totals(Filter(project="nothing")).runs == 0
    with pytest.raises(LedgerError, match="cannot be added up by 'colour'"):
        ledger.totals_by("colour")


def on_machine(make_run, id, hours, machine, account, **fields):
    begin, end = hours
    stamps = tuple(f"{one}-42-1a2b" for one in machine.split())
    evidence = Evidence(journal_stamps=stamps)
    return make_run(id, begun_unix_s=begin * 3600.0, ended_unix_s=end * 3600.0, evidence=evidence, account=account,
                    **fields)  # fmt: skip


def test_totals_say_how_much_runs_on_one_machine_count_again(ledger, make_run, make_account):
    # Machines m1 and m2 draw 3 kW: `long` counts 10 h of m1, `in-it` 1 h of the same hours, `two` 2 h of m1 and m2.
    # Sum 30 + 3 + 12 = 45 kWh; the machines drew 30 + 6 = 36. What was counted again: 3 + 6 = 9 kWh.
    ledger.put(on_machine(make_run, "long", (0, 10), "m1", make_account(30.0, kgco2e=60.0), project="p"))
    ledger.put(on_machine(make_run, "in-it", (2, 3), "m1", make_account(3.0, kgco2e=6.0), project="p"))
    ledger.put(on_machine(make_run, "two", (5, 7), "m1 m2", make_account(12.0, kgco2e=24.0), project="q"))
    ledger.put(on_machine(make_run, "after", (10, 11), "m1", make_account(3.0, kgco2e=None), project="q"))
    ledger.put(on_machine(make_run, "elsewhere", (2, 3), "m3", make_account(3.0, kgco2e=None), project="q"))
    ledger.put(on_machine(make_run, "foretold", (2, 3), "m1", make_account(3.0), kind="forecast", status="forecast"))
    found = ledger.totals()
    assert found.facility_kwh.value == pytest.approx(51.0)  # the sum, as ever
    assert found.side_by_side == 3
    assert found.counted_again["facility_kwh"] == pytest.approx(9.0)
    assert found.counted_again["operational_location_kgco2e"] == pytest.approx(18.0)
    assert "duration_s" not in found.counted_again  # the time of runs is added up whatever they share
    by = ledger.totals_by("project")
    assert by["p"].counted_again["facility_kwh"] == pytest.approx(3.0)
    assert (by["q"].side_by_side, by["q"].counted_again) == (0, {})


def test_what_is_counted_again_is_told_by_the_run_that_knows_the_hours_best(ledger, make_run, make_account):
    # A day at 1 kW on average, in which a job drew 5 kWh in an hour: those 5 kWh are counted twice, not 1.
    ledger.put(on_machine(make_run, "day", (0, 24), "m1", make_account(24.0)))
    ledger.put(on_machine(make_run, "hour", (3, 4), "m1", make_account(5.0)))
    assert ledger.totals().counted_again["facility_kwh"] == pytest.approx(5.0)


def test_what_is_counted_again_is_never_more_than_all_but_the_largest_run(ledger, make_run, make_account):
    ledger.put(on_machine(make_run, "a", (0, 10), "m1", make_account(2.0)))  # saw less of the machine
    ledger.put(on_machine(make_run, "b", (1, 2), "m1", make_account(9.0)))
    assert ledger.totals().counted_again["facility_kwh"] == pytest.approx(2.0)


def test_run_is_found_by_id_beginning_or_name_and_never_guessed(ledger, make_run):
    ledger.put(make_run("20260101-big-1", name="big"))
    ledger.put(make_run("20260102-big-2", name="big"))
    ledger.put(make_run("20260102-big", name="other"))
    assert ledger.id_of("20260102-big") == "20260102-big"
    assert ledger.id_of("20260101") == "20260101-big-1"
    assert ledger.id_of("other") == "20260102-big"
    with pytest.raises(LedgerError, match=r"'big' may be any of .*Give the whole id"):
        ledger.id_of("big")
    with pytest.raises(LedgerError, match=r"no run 'x' is known\. The newest are: .*tonne runs"):
        ledger.run("x")


def test_tags_and_links_are_added_and_taken_away(ledger, make_run):
    ledger.put(make_run("a", tags=("old",)))
    ledger.tag("a", purpose="ablation", project="p", tags=["one", "two"])
    ledger.tag("a", untag=["one", "old"], name="better name")
    ledger.link("a", "initialised-from", "somebody-elses-model")
    found = ledger.run("a")
    assert (found.purpose, found.project, found.tags, found.name) == ("ablation", "p", ("two",), "better name")
    assert found.links == (Link(kind="initialised-from", to="somebody-elses-model"),)
    ledger.tag("a", tags=["one"])
    assert ledger.run("a").tags == ("two", "one")
    with pytest.raises(DescriptionError, match="purpose='x' is none"):
        ledger.tag("a", purpose="x")
    with pytest.raises(LedgerError, match="link='cousin' is none"):
        ledger.link("a", "cousin", "b")
    with pytest.raises(LedgerError, match="link='merged-from' is none"):
        ledger.link("a", "merged-from", "b")
    with pytest.raises(LedgerError, match=r"status='over' is none\. Use one of running"):
        Filter(status="over")
    with pytest.raises(LedgerError, match="tag=' ' is none"):
        ledger.tag("a", tags=[" "])


def test_links_that_cannot_be_are_refused_and_wrong_ones_taken_away(ledger, make_run):
    for run in ("first", "second", "third"):
        ledger.put(make_run(run))
    ledger.put(make_run("foretold", kind="forecast", status="forecast"))
    ledger.link("second", "continues", "first")
    ledger.link("third", "initialised-from", "second")
    with pytest.raises(LedgerError, match="first cannot be linked to itself"):
        ledger.link("first", "continues", "first")
    with pytest.raises(LedgerError, match="third goes back to first already"):
        ledger.link("first", "distils", "third")
    with pytest.raises(LedgerError, match="second is no forecast"):
        ledger.link("third", "foretold-by", "second")
    ledger.link("third", "foretold-by", "foretold")
    with pytest.raises(
        LedgerError, match=r"third has no link continues second .* initialised-from second, foretold-by"
    ):
        ledger.unlink("third", "continues", "second")
    ledger.unlink("third", "initialised-from", "sec")
    assert ledger.run("third").links == (Link(kind="foretold-by", to="foretold"),)
    ledger.link("first", "distils", "third")  # nothing leads back any more
    ledger.link("third", "distils", "second-hand")
    assert Link(kind="distils", to="second-hand") in ledger.run("third").links
    assert ledger.verify().problems == ()


def test_what_was_tagged_outlives_what_is_put_later(ledger, make_run):
    ledger.put(make_run("a"))
    ledger.tag("a", project="p")
    ledger.put(make_run("a", project="of the program", status="failed"))
    assert (ledger.run("a").project, ledger.run("a").status) == ("p", "failed")


def test_merged_runs_are_counted_once_and_come_back(ledger, make_run, make_account):
    # Two nodes side by side for an hour, one of them 20 min later: 4/3 h by the clock, 2 + 3 kWh, 2 h of accelerators.
    ledger.put(make_run("a", begun_unix_s=0.0, ended_unix_s=3600.0, project="p", account=make_account(2.0)))
    ledger.put(make_run("b", begun_unix_s=1200.0, ended_unix_s=4800.0, project="p", account=make_account(3.0)))
    whole = ledger.merge(["a", "b"], name="both")
    assert (whole.name, whole.project, whole.begun_unix_s, whole.ended_unix_s) == ("both", "p", 0.0, 4800.0)
    assert whole.account.duration_s.value == 4800.0
    assert whole.account.accelerator_hours.value == 2.0
    energy = whole.account.energy
    assert [energy.facility_kwh.value, energy.facility_kwh.low] == pytest.approx([5.0, 4.5])
    assert energy.coverage == pytest.approx(0.5)
    assert [(link.kind, link.to) for link in whole.links] == [("merged-from", "a"), ("merged-from", "b")]
    assert [row.id for row in ledger.rows()] == [whole.id]
    assert ledger.totals().facility_kwh.value == pytest.approx(5.0)
    assert len(ledger.rows(Filter(merged=True))) == 3
    with pytest.raises(LedgerError, match=f"a is a part of {whole.id} already"):
        ledger.merge(["a", "b"])
    with pytest.raises(LedgerError, match=f"a is a part of {whole.id}"):
        ledger.delete("a", "x")
    ledger.delete(whole.id, "they were two runs after all")
    assert [row.id for row in ledger.rows()] == ["b", "a"]
    assert ledger.verify().problems == ()


def test_a_run_that_is_named_twice_is_merged_once(ledger, make_run, make_account):
    ledger.put(make_run("20261101-a", account=make_account(2.0)))
    ledger.put(make_run("20261102-b", account=make_account(3.0)))
    whole = ledger.merge(["20261101-a", "20261101", "20261102-b"])  # its id, and the beginning of it
    assert whole.account.energy.facility_kwh.value == pytest.approx(5.0)
    assert [link.to for link in whole.links] == ["20261101-a", "20261102-b"]


def test_what_cannot_be_merged_is_said(ledger, make_run):
    ledger.put(make_run("a"))
    ledger.put(make_run("f", kind="forecast"))
    ledger.put(make_run("n", account=None))
    for names, why in ((["a", "a"], "merged with itself"), (["a", "f"], "is a forecast"), (["a", "n"], "no account")):
        with pytest.raises(LedgerError, match=why):
            ledger.merge(names)


def test_deletion_leaves_a_tombstone_and_an_unbroken_chain(ledger, make_run):
    ledger.put(make_run("secret", notes=("to be forgotten",)))
    ledger.put(make_run("kept"))
    ledger.delete("secret", "not ours to keep")
    assert [row.id for row in ledger.rows()] == ["kept"]
    assert [(run, reason) for run, _, reason in ledger.deleted()] == [("secret", "not ours to keep")]
    found = ledger.verify()
    assert (found.entries, found.runs, found.problems) == (3, 1, ())
    with ledger.store.reading() as connection:
        told = connection.execute(text("SELECT content FROM tonne_entries")).scalars().all()
    assert "to be forgotten" not in json.dumps(told)
    with pytest.raises(LedgerError, match="a deletion needs a reason"):
        ledger.delete("kept", " ")


def test_chain_is_the_published_one(ledger, make_run):
    """The hash of an entry, worked out here from the words of docs/ledger.md."""
    ledger.put(make_run("a"))
    with ledger.store.reading() as connection:
        (row,) = connection.execute(text("SELECT * FROM tonne_entries")).mappings()
    told = {"content_sha256": sha256_of(row["content"]), "entry": row["entry"], "kind": "whole", "position": 1}
    told |= {"run": "a", "unix_s": row["unix_s"]}
    assert row["sha256"] == sha256_of("0" * 64 + json.dumps(told, sort_keys=True, separators=(",", ":")))
    assert ledger.head() == (1, row["sha256"])


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("UPDATE tonne_entries SET content = replace(content, '2.0', '1.0') WHERE position = 2", "content of entry 2"),
        ("UPDATE tonne_entries SET unix_s = 1.0 WHERE position = 2", r"entry 2 \(whole of b\) or one before"),
        ("DELETE FROM tonne_entries WHERE position = 2", "entry 2 is missing"),
        ("DELETE FROM tonne_entries WHERE position = 3", "entry 3 is missing"),
        ("UPDATE tonne_entries SET content = NULL WHERE position = 1", "entry 1 .* lost its content"),
        ("UPDATE tonne_head SET position = 2", "the head of the chain was changed"),
        ("UPDATE tonne_runs SET facility_kwh = 1.0 WHERE id = 'a'", "what is listed of the run a was changed"),
        ("UPDATE tonne_documents SET document = '{}' WHERE run = 'a'", "what is listed of the run a was changed"),
        ("DELETE FROM tonne_runs WHERE id = 'a'", "the run a is missing from the list"),
        ("UPDATE tonne_runs SET id = 'z' WHERE id = 'a'", "the run z is listed, and no entry says where"),
    ],
)
def test_tampering_and_loss_show(ledger, make_run, command, says):
    for run in "abc":
        ledger.put(make_run(run))
    assert ledger.verify().problems == ()
    with ledger.store.writing() as connection:
        connection.execute(text(command))
    found = ledger.verify().problems
    assert found
    import re

    assert re.search(says, " | ".join(found)), found


def test_lists_are_not_made_anew_from_a_chain_that_was_changed(ledger, make_run, make_account):
    ledger.put(make_run("a", account=make_account(2.0)))
    with ledger.store.writing() as connection:
        connection.execute(text("UPDATE tonne_entries SET content = replace(content, '2.0', '1.0')"))
    assert not ledger.verify().is_chain_whole
    with pytest.raises(LedgerError, match=r"content of entry 1 .* was changed.*backup"):
        ledger.make_anew()
    assert ledger.rows()[0].facility_kwh == 2.0  # as it was before


@pytest.mark.slow
def test_chain_that_was_made_anew_does_not_hold_the_hash_that_was_noted(address, make_run):
    with Ledger.open(address) as ledger:
        ledger.put(make_run("a"))
        noted = ledger.head()[1]
        ledger.put(make_run("b"))
        assert ledger.verify(noted).holds_expected
        found = ledger.verify("f" * 64)
        assert not found.holds_expected
        assert "no entry has the hash" in found.problems[0]


def test_canonical_json_has_one_spelling():
    assert canonical({"b": 1, "a": [1.0, float("nan"), {"ü": None}]}) == '{"a":[1.0,null,{"\\u00fc":null}],"b":1}'


def test_clock_that_went_backwards_breaks_nothing(ledger, make_run, monkeypatch):
    import time

    ledger.put(make_run("a"))
    monkeypatch.setattr(time, "time", lambda: 5.0)
    ledger.put(make_run("b"))
    assert ledger.verify().problems == ()
    with ledger.store.reading() as connection:
        times = connection.execute(text("SELECT unix_s FROM tonne_entries ORDER BY position")).scalars().all()
    assert times[0] > times[1] == 5.0


WRITER = """
import sys
from tonne.ledger.book import Ledger
from tonne.ledger.records import Run
with Ledger.open(sys.argv[1]) as ledger:
    for i in range(int(sys.argv[3])):
        ledger.put(Run(id=f"w{sys.argv[2]}-{i}", name="w", kind="measured", status="finished", begun_unix_s=float(i)))
"""


@pytest.mark.slow
def test_eight_processes_with_a_thousand_writes_each_lose_nothing(address, tmp_path):
    processes, writes = 8, 1000
    running = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), address, str(i), str(writes)])
        for i in range(processes)
    ]
    assert [one.wait(timeout=600) for one in running] == [0] * processes
    with Ledger.open(address) as ledger:
        found = ledger.verify()
        assert (found.entries, found.runs, found.problems) == (processes * writes, processes * writes, ())
