"""How long a study will take is predicted, and judged afterwards."""

import pytest

from engine import workloads
from engine.studies import actions, report
from storage import studies
from tests.engine.studies import end_all, one_after_the_other, question
from tests.processes import SMALL


def test_a_duration_is_predicted_from_history_and_judged_afterwards(settings, db):
    asked = question(frameworks=["torch"])
    _, unknown = actions.preview(settings, asked)
    assert unknown == (None, ("PyTorch on CPU",))
    end_all(db, actions.submit(settings, asked, by="test"))
    _, predicted = actions.preview(settings, asked)
    assert predicted.seconds == pytest.approx(4 * (8.0 + 2.0))  # 2 s of rest before each
    longer = SMALL | {"epochs": 4}  # twice as many: 2 s of start-up, 6 s of steps
    _, predicted = actions.preview(settings, question(frameworks=["torch"], base=longer))
    assert predicted.seconds == pytest.approx(4 * (2.0 + 12.0 + 2.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workloads, "VERSIONS", {"mlp": 2})  # of another model nothing is known
        assert actions.preview(settings, asked)[1] == unknown
    study_id = actions.submit(settings, asked, by="test")
    at_first = report.of(db, actions.find(db, study_id))
    assert at_first.progress.remaining_s == pytest.approx(40.0)
    one_after_the_other(db, study_id, took=10.0, rest=2.5)
    shown = report.of(db, actions.find(db, study_id))
    assert shown.progress.actual_s == pytest.approx(4 * (10.0 + 2.5))
    assert shown.prediction_error == pytest.approx(0.25)


def test_what_is_added_is_predicted_when_it_is_asked_for(settings, db):
    asked = question(frameworks=["torch"])
    end_all(db, actions.submit(settings, asked, by="test"))
    study_id = actions.submit(settings, asked, by="test")
    one_after_the_other(db, study_id, took=8.0, rest=2.0)
    actions.extend(settings, study_id, seeds=3, by="me")
    assert studies.get(db, study_id).predicted_s == pytest.approx(7 * 10.0)
    one_after_the_other(db, study_id, took=8.0, rest=2.0)
    shown = report.of(db, actions.find(db, study_id))
    assert shown.progress.actual_s == pytest.approx(70.0)
    assert shown.prediction_error == pytest.approx(0.0)


def test_the_longer_rest_that_an_advice_asks_for_is_predicted_too(settings, db):
    longer = {"rule": "throttled", "changes": {"cool_down_s": 30.0}}
    asked = question(kind="advice", frameworks=[], advice=longer)
    end_all(db, actions.submit(settings, asked, by="test"))
    _, predicted = actions.preview(settings, asked)
    assert predicted.seconds == pytest.approx(4 * (8.0 + 2.0) + 4 * (8.0 + 30.0))


def test_what_the_host_did_for_others_is_in_no_studys_duration(settings, db):
    study_id = actions.submit(settings, question(frameworks=["torch"]), by="test")
    one_after_the_other(db, study_id, took=8.0, rest=2.0, others=600.0)
    assert report.of(db, actions.find(db, study_id)).progress.actual_s == pytest.approx(40.0)
