"""Scaling studies: their arms, what may differ between them, and what is fitted to them."""

import pytest

from dashboard import study_file
from engine.problems import ConfigError
from engine.studies import actions, report, scaling
from engine.studies.cost import Prices
from engine.studies.question import Question
from storage import studies
from tests.engine.studies import end
from tests.processes import SMALL

BASE = SMALL | {"batch_size": 64}


def question(**fields):
    raw = {"kind": "scaling", "base": BASE, "frameworks": ["torch"], "seeds": 5}
    return Question.parse(raw | fields)


def arms(asked):
    return [(arm.label, arm.config.devices, arm.config.batch_size) for arm in asked.arms()]


def ended(settings, db, asked, rates, **found):
    """The report of a study whose runs trained at these samples/s, by arm."""
    study_id = actions.submit(settings, asked, by="test")
    for trial in studies.trials(db, study_id):
        end(db, trial.member.run_id, rate=rates[trial.member.arm], **found)
    return report.of(db, actions.find(db, study_id))


def test_strong_scaling_keeps_the_batch_and_weak_scaling_that_of_a_device():
    assert arms(question(device_counts=[4, 1, 2])) == [
        ("1 device", 1, 64), ("2 virtual devices", 2, 64), ("4 virtual devices", 4, 64),
    ]  # fmt: skip
    assert arms(question(device_counts=[1, 2], mode="weak")) == [
        ("1 device", 1, 64), ("2 virtual devices", 2, 128),
    ]  # fmt: skip
    assert arms(question(base=BASE | {"devices": 2}, device_counts=[1, 4], mode="weak")) == [
        ("1 device", 1, 32), ("4 virtual devices", 4, 128),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"device_counts": [2]}, "two or more counts of devices of one kind, got 2."),
        ({"device_counts": [1, 3]}, "Batch size 64 cannot be shared evenly by 3 devices."),
        ({"device_counts": [1, 0]}, "Devices must be between 1 and 1,024, got 0."),
        ({"device_counts": [1, 64]}, "A CPU is divided into 16 virtual devices at most, got 64."),
        ({"devices": ["gpu:1"]}, "two or more counts of devices of one kind, got gpu:1."),
        ({"mode": "sideways"}, "Unknown mode 'sideways'. Choose one of: strong, weak."),
        ({"baseline": "2 virtual devices"}, "the baseline is 1 device."),
    ],
)
def test_a_scaling_that_cannot_be_is_refused_in_a_sentence(fields, sentence):
    with pytest.raises(ConfigError) as refused:
        question(**fields)
    assert sentence in str(refused.value)


def test_the_serial_fraction_that_made_the_rates_is_found_again(settings, db):
    """Amdahl: of 1 s alone, 0.25 s cannot be shared."""
    rates = {
        "1 device": 1000.0,
        "2 virtual devices": 1000 / (0.25 + 0.75 / 2),
        "4 virtual devices": 1000 / (0.25 + 0.75 / 4),
    }
    shown = ended(settings, db, question(), rates)
    found = scaling.of(shown.question, shown.cards)
    assert found.serial.value == pytest.approx(0.25)
    assert (found.serial.low, found.serial.high) == pytest.approx((0.25, 0.25))
    assert found.serial.repeats == 5  # seeds: the points of one share what they are held against
    assert scaling.fitted(found, [4]) == pytest.approx([1 / 0.4375])
    assert [point.efficiency for point in found.points] == pytest.approx([1, 0.8, 1 / 1.75])
    assert shown.answer == (
        "4 virtual devices train 2.29x as fast as 1 device (95 %: 2.29 to 2.29): 57 % of the "
        "ideal 4x. Amdahl's fitted serial fraction is 25 % (95 %: 25 to 25), so no number of "
        "devices gives more than 4x."
    )


def test_weak_scaling_may_differ_in_the_batch_and_is_fitted_by_gustafson(settings, db):
    rates = {"1 device": 1000.0, "2 virtual devices": 1900.0, "4 virtual devices": 3700.0}
    shown = ended(settings, db, question(mode="weak"), rates)
    assert shown.verdict.level == "amber"
    assert not any("asked the same" in check.sentence for check in shown.verdict.checks)
    found = scaling.of(shown.question, shown.cards)
    assert (found.law, found.serial.value) == ("Gustafson", pytest.approx(0.1))


def test_another_batch_for_a_device_is_not_weak_scaling(settings, db):
    study_id = actions.submit(settings, question(device_counts=[1, 2], mode="weak"), by="test")
    for trial in studies.trials(db, study_id):
        end(db, trial.member.run_id)
    db.execute(
        "UPDATE runs SET config = json_set(config, '$.batch_size', 96) "
        "WHERE json_extract(config, '$.devices') = 2"
    )
    shown = report.of(db, actions.find(db, study_id))
    assert shown.verdict.level == "red"
    assert "batch of a device 48.0 and 64.0" in shown.verdict.checks[0].sentence
    assert scaling.of(shown.question, shown.cards).points[1].speedup is None
    assert shown.answer == ""


def test_devices_that_are_no_hardware_are_said_to_be_none_before_any_figure(settings, db):
    rates = {"1 device": 1000.0, "2 virtual devices": 1900.0, "4 virtual devices": 3700.0}
    shown = ended(settings, db, question(), rates)
    told = (
        "Up to 4 virtual devices on one CPU: it exercises the code of several devices and says "
        "nothing of hardware."
    )
    assert shown.as_json()["notice"] == told
    assert any("says nothing of hardware" in check.sentence for check in shown.verdict.checks)
    page = study_file.page(shown, Prices({})).decode()
    assert page.index(told) < page.index("Comparability")
    assert "Efficiency" in page
    assert "fitted serial fraction" in page


def test_without_one_device_no_serial_fraction_is_claimed(settings, db):
    rates = {"2 virtual devices": 1900.0, "4 virtual devices": 3700.0}
    shown = ended(settings, db, question(device_counts=[2, 4]), rates)
    found = scaling.of(shown.question, shown.cards)
    assert (found.serial, found.points[1].ideal) == (None, 2)
    assert shown.answer.endswith("and none was run.")
