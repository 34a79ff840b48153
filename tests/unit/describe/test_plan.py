"""A plan that cannot be is refused, and the error says what to do."""

import pytest

import tonne
from tonne.errors import DescriptionError, PlanFileError, QuantityError, UnknownReferenceError
from tonne.units import quantity

GOOD = {
    "architecture": {"preset": "gpt2-small"},
    "data": {"tokens": 1e9, "sequence_length": 1024},
    "cluster": {"accelerator": "H100", "accelerators": 8},
}


def changed(path, value):
    fields = {name: dict(section) for name, section in GOOD.items()}
    *sections, last = path.split(".")
    place = fields
    for name in sections:
        place = place.setdefault(name, {})
    place[last] = value
    return fields


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("data.tokns", 1e9, r"data.tokns is not a field. Known here: tokens"),
        ("data.tokens", 0, "greater than 0"),
        ("data.tokens", -1e9, "greater than 0"),
        ("data.tokens", float("nan"), "finite number"),
        ("site.pue", 0.9, "at least 1"),
        ("site.pue", {"value": 1.2, "low": 1.3, "high": 1.4}, "low <= value <= high"),
        ("cluster.accelerator", "H900", "H900"),
        ("schedule.goodput", 1.5, "at most 1"),
        ("schedule.start", "1950-01-01T00:00:00Z", "between 2000 and 2100"),
        ("parallelism", {"tensor": 3}, "Make the product equal the number"),
        ("architecture", {"kind": "decoder", "layers": 2, "width": 10, "heads": 3}, "multiple of heads"),
        ("site", {"grid": "FR", "region": "aws:eu-west-3"}, "Give one of them"),
        ("site.grid", "Georgia", "Georgia"),
    ],
)
def test_a_bad_field_is_one_clear_error(path, value, text):
    with pytest.raises((DescriptionError, UnknownReferenceError), match=text):
        tonne.TrainingPlan.from_fields(changed(path, value))


@pytest.mark.parametrize(
    ("split", "batch", "text"),
    [
        ({"data": 8}, 4, "Make data at most 4, or the batch at least 8"),
        ({"data": 8, "expert": 8}, 8, "Leave expert out"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(split, batch, text):
    fields = {**GOOD, "parallelism": split, "training": {"global_batch_sequences": batch}}
    with pytest.raises(DescriptionError, match=text):
        tonne.TrainingPlan.from_fields(fields)


@pytest.mark.parametrize("text", ["300X", "abc", "", "-3B", "0", "nan", "1e400"])
def test_unknown_units_are_refused(text):
    with pytest.raises(QuantityError, match="300B"):
        quantity(text, name="tokens")


@pytest.mark.parametrize(
    ("text", "value"), [("300B", 3e11), ("1.08M", 1.08e6), ("2e12", 2e12), ("4096", 4096), ("15T", 15e12)]
)
def test_quantities_as_people_write_them(text, value):
    assert quantity(text) == pytest.approx(value, rel=1e-15)


def test_a_file_that_is_no_toml(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text("tokens = = 3")
    with pytest.raises(PlanFileError, match="is not TOML"):
        tonne.TrainingPlan.from_toml(file)
    with pytest.raises(PlanFileError, match="does not exist"):
        tonne.TrainingPlan.from_toml(tmp_path / "none.toml")


def test_hours_hardware_and_place_are_enough():
    plan = tonne.TrainingPlan.from_fields(
        {
            "cluster": {"accelerator": "A100", "accelerator_power_w": 400, "host_power_w": 0, "network_power_w": 0},
            "schedule": {"accelerator_hours": 1_082_990},
            "site": {"pue": 1.0, "grid_gco2e_per_kwh": 57},
        }
    )
    account = tonne.forecast(plan).account
    assert account.energy.facility_kwh.value == 433_196.0  # Luccioni 2022: 433.196 MWh
    assert account.carbon.operational_location_kgco2e.value == pytest.approx(24_692.172)


def test_without_a_place_energy_is_given_and_carbon_is_unknown():
    result = tonne.forecast(tonne.TrainingPlan.from_fields(GOOD))
    assert result.account.energy.facility_kwh is not None
    assert result.account.carbon.operational_location_kgco2e is None
    assert any("no place given" in note for note in result.notes)
