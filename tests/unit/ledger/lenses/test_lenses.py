"""What each rule counts: the inclusion matrix, history, totals that say what they lack."""

from __future__ import annotations

import pytest

from tonne.errors import DescriptionError, UnknownReferenceError
from tonne.ledger.lenses import lens_named, lenses, view
from tonne.ledger.records import PURPOSES, Evidence, Work
from tonne.reference.table import table

IN, OUT, MEMO = "included", "excluded", "memo"
# What the rules say of each purpose: compute and energy of the EU, SCI for AI, NeurIPS, inventory, final runs, project.
MATRIX = {
    "final": (IN, IN, IN, IN, IN, IN, IN),
    "fine-tuning": (IN, IN, IN, IN, IN, IN, IN),
    "reinforcement": (IN, IN, IN, IN, IN, IN, IN),
    "synthetic-data": (IN, MEMO, IN, MEMO, IN, OUT, IN),
    "public-synthetic-data": (OUT, MEMO, IN, MEMO, IN, OUT, IN),
    "evaluation": (OUT, MEMO, IN, MEMO, IN, OUT, IN),
    "sweep": (OUT, MEMO, IN, MEMO, IN, OUT, IN),
    "ablation": (OUT, MEMO, IN, MEMO, IN, OUT, IN),
    "failed": (OUT, MEMO, IN, MEMO, IN, OUT, IN),
    "auxiliary": (OUT, MEMO, IN, MEMO, IN, OUT, IN),
    "teacher": (OUT, MEMO, IN, MEMO, IN, OUT, IN),
    "idle": (OUT, IN, IN, MEMO, IN, OUT, IN),
}
COLUMNS = ("eu-flop", "eu-energy", "sci-ai", "neurips", "ghg", "final-run", "project")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_rule_says_of_each_purpose_what_its_text_says(purpose):
    assert tuple(lens_named(lens).of_purpose(purpose).verdict for lens in COLUMNS) == MATRIX[purpose]


@pytest.mark.parametrize("lens", lenses().values(), ids=lambda lens: lens.id)
def test_each_lens_names_its_version_and_a_known_source_and_a_reason_for_every_verdict(lens):
    known = {row["key"] for row in table("sources")} | {"tonne"}
    assert lens.version
    assert lens.source in known
    assert all(rule.reason for rule in (*lens.purposes.values(), *lens.activities.values()))


def test_an_unknown_lens_lists_those_that_there_are():
    with pytest.raises(UnknownReferenceError, match=r"no lens 'eu'\. Known: .*eu-energy, eu-flop"):
        lens_named("eu")


def test_no_run_at_all_is_an_error():
    with pytest.raises(DescriptionError, match="no run to look at"):
        view(lens_named("project"), [])


def test_a_total_is_the_sum_of_values_and_of_ends(run):
    # 36 + 36 kWh, each 10 % to either side: 64.8 to 79.2
    total = view(lens_named("project"), [run("a"), run("b", purpose="sweep")]).totals["facility_kwh"].value
    assert (total.value, total.low, total.high) == pytest.approx((72.0, 64.8, 79.2))


def test_a_total_with_an_unknown_part_is_unknown_and_says_of_whom(run, account):
    runs = [run("a"), run("b", account=account(location_kg=None))]
    total = view(lens_named("project"), runs).totals["operational_location_kgco2e"]
    assert total.value is None
    assert total.known.value == 12.0
    assert total.unknown == ("b (b)",)


def test_a_run_for_nothing_that_was_said_stands_beside_the_total(run):
    seen = view(lens_named("eu-energy"), [run("a"), run("b", purpose=None)])
    assert seen.totals["facility_kwh"].value.value == 36.0
    (memo,) = seen.of("memo")
    assert memo.run == "b"
    assert "nobody said what it was for" in memo.reason
    assert any("1 run has no purpose" in note for note in seen.notes)


def test_the_one_run_that_is_asked_for_is_taken_as_final_and_that_is_said(run):
    seen = view(lens_named("eu-flop"), [run("a", purpose=None)])
    assert seen.totals["training_flop"].value.value == 1.2e14
    assert "taken as final" in seen.lines[0].reason
    assert any("no purpose" in note for note in seen.notes)


def test_discarded_synthetic_data_counts_whole(run):
    # 100 samples were generated and 10 kept: the run generated 100, and all of its compute counts
    generated = run("g", purpose="synthetic-data", work=Work(training_flop=100e12))
    total = view(lens_named("eu-flop"), [run("a", work=Work(training_flop=900e12)), generated]).totals["training_flop"]
    assert total.value.value == 1000e12


def test_recomputation_is_left_out_and_shown(run):
    seen = view(lens_named("eu-flop"), [run("a", work=Work(training_flop=3e20, recomputed_flop=1e20))])
    assert seen.totals["training_flop"].value.value == 3e20
    (line,) = [line for line in seen.of("excluded") if line.what == "recomputation"]
    assert line.amounts["training_flop"].value == 1e20


def test_weights_that_are_started_from_count_once_whatever_their_run_was_for(run):
    # two final runs start from one sweep's weights; another sweep was thrown away
    base = run("base", purpose="sweep", work=Work(training_flop=5e20))
    lost = run("lost", purpose="sweep", work=Work(training_flop=7e20))
    tuned = [
        run(name, purpose="fine-tuning", links=[("initialised-from", "base")], work=Work(training_flop=1e20))
        for name in ("x", "y")
    ]
    seen = view(lens_named("eu-flop"), [base, lost, *tuned])
    assert seen.totals["training_flop"].value.value == 5e20 + 2 * 1e20
    assert [line.run for line in seen.of("excluded")] == ["lost"]
    assert view(lens_named("final-run"), [base, lost, *tuned]).totals["training_flop"].value.value == 2e20


def test_merged_weights_bring_their_history_through_all_generations(run):
    first = run("first", purpose="failed", work=Work(training_flop=1e18))
    second = run("second", purpose="ablation", links=[("continues", "first")], work=Work(training_flop=2e18))
    third = run("third", purpose="sweep", work=Work(training_flop=4e18))
    links = [("initialised-from", "second"), ("initialised-from", "third")]
    averaged = run("averaged", links=links, work=Work(training_flop=0.0))
    total = view(lens_named("eu-flop"), [first, second, third, averaged]).totals["training_flop"]
    assert total.value.value == 7e18


def test_parts_of_a_run_that_was_merged_are_counted_in_it_alone(run):
    whole = run("whole", links=[("merged-from", "left"), ("merged-from", "right")], work=Work(training_flop=3e18))
    parts = [run(name, work=Work(training_flop=1.5e18)) for name in ("left", "right")]
    seen = view(lens_named("project"), [whole, *parts])
    assert seen.totals["training_flop"].value.value == 3e18
    assert [line.reason for line in seen.of("excluded")] == ["a part of whole, in which it is counted"] * 2
    assert view(lens_named("eu-flop"), [whole]).totals["training_flop"].value.value == 3e18


def at_hours(run, id, begin, end, machine):
    stamps = Evidence(journal_stamps=(f"{machine}-42-1a2b",))
    return run(id, begun_unix_s=begin * 3600.0, ended_unix_s=end * 3600.0, evidence=stamps)


def test_runs_side_by_side_on_one_machine_are_named_for_each_counts_all_of_it(run):
    spans = {"long": (0, 10, "m1"), "in-it": (2, 3, "m1"), "later-in-it": (8, 9, "m1")}
    apart = {"after": (10, 11, "m1"), "elsewhere": (2, 3, "m2")}
    runs = [at_hours(run, id, *span) for id, span in (spans | apart).items()]
    [note] = [one for one in view(lens_named("project"), runs).notes if "side by side" in one]
    assert note.startswith("3 runs went on side by side on one machine (long, in-it, later-in-it): ")
    alone = [one for one in runs if one.id in {"long", "after", "elsewhere"}]
    assert not [one for one in view(lens_named("project"), alone).notes if "side by side" in one]


def test_a_teacher_is_not_counted_though_the_student_names_it(run):
    teacher = run("big", purpose="teacher", work=Work(training_flop=9e22))
    student = run("small", links=[("distils", "big")], work=Work(training_flop=1e21))
    assert view(lens_named("eu-flop"), [teacher, student]).totals["training_flop"].value.value == 1e21


def test_weights_from_elsewhere_whose_compute_is_unknown_make_the_compute_unknown(run):
    seen = view(lens_named("eu-flop"), [run("a", links=[("initialised-from", "somebody/model")])])
    total = seen.totals["training_flop"]
    assert total.value is None
    assert total.known.value == 1.2e14
    assert "somebody/model" in total.unknown[0]


def test_weights_from_a_known_model_bring_what_its_training_took(run):
    plan = {"start": {"from": "gpt-2-small", "training_flop": {"value": 1e20}}}
    seen = view(lens_named("eu-flop"), [run("a", purpose="fine-tuning", plan=plan, work=Work(training_flop=1e18))])
    assert seen.totals["training_flop"].value.value == 1.01e20


def test_steps_done_again_after_a_crash_are_counted_and_said_to_be_open(run):
    again = run("again", links=[("continues", "first")])
    seen = view(lens_named("eu-flop"), [run("first"), again])
    assert [line.what for line in seen.of("memo")] == ["redone"]
    assert seen.totals["training_flop"].value.value == 2 * 1.2e14


def test_a_forecast_beside_the_run_it_foretold_is_not_added(run):
    runs = [run("a"), run("f", kind="forecast", status="forecast")]
    seen = view(lens_named("project"), runs)
    assert seen.totals["facility_kwh"].value.value == 36.0
    assert seen.of("excluded")[0].run == "f"


def test_forecasts_alone_are_marked_estimated(run):
    seen = view(lens_named("project"), [run("f", kind="forecast", status="forecast")])
    assert seen.totals["facility_kwh"].value.value == 36.0
    assert "Estimated: a forecast, not a measurement." in seen.notes


HISTORY = [("final", (("initialised-from", "a"),)), ("fine-tuning", (("continues", "a"),))]


@pytest.mark.parametrize(("purpose", "links"), HISTORY)
def test_a_run_alone_brings_the_training_of_its_weights_where_the_rule_counts_it(run, purpose, links):
    # a <- b <- the run that is asked for: 1 + 2 + 4 FLOP; a sweep from which nobody started is nowhere
    a, b = run("a", work=Work(training_flop=1.0), purpose="sweep"), run("b", work=Work(training_flop=2.0), links=links)
    asked = run("c", work=Work(training_flop=4.0), purpose=purpose, links=(("initialised-from", "b"),))
    beside = run("x", work=Work(training_flop=64.0))
    seen = view(lens_named("eu-flop"), [asked], [a, b, beside])
    assert seen.totals["training_flop"].value.value == 7.0
    assert set(seen.counted) == {"a", "b", "c"}
    assert view(lens_named("sci"), [asked], [a, b, beside]).totals["facility_kwh"].value.value == 3 * 36.0


def test_the_training_of_weights_is_a_memo_with_its_energy_where_the_rule_is_silent(run):
    asked = run("b", links=(("initialised-from", "a"),))
    for name in ("eu-energy", "final-run", "neurips"):
        seen = view(lens_named(name), [asked], [run("a")])
        assert seen.counted == ("b",)
        memo = next(line for line in seen.of("memo") if line.run == "a")
        assert (memo.what, memo.amounts["facility_kwh"].value) == ("history", 36.0)


def test_a_published_model_that_a_link_names_counts_as_far_as_tables_know_it(run):
    # 8.03e9 parameters, about 15e12 tokens: 6 P D is 7.2e23, and attention comes on top of it
    tuned = run("b", work=Work(training_flop=1e20), links=(("initialised-from", "llama-3.1-8b"),))
    total = view(lens_named("eu-flop"), [tuned]).totals["training_flop"]
    assert 7.2e23 < total.value.value < 8.0e23
    unknown = run("b", work=Work(training_flop=1e20), links=(("initialised-from", "somebodys-model"),))
    assert view(lens_named("eu-flop"), [unknown]).totals["training_flop"].value is None
