"""The Studies and Study pages as scripts, and the file that a report is downloaded as."""

import pytest

from dashboard import links, study_file
from engine.studies import actions, report
from engine.studies.cost import Prices
from engine.studies.question import Question
from storage import database, metrics, runs, studies
from storage.metrics import Point
from tests.dashboard.pages import DEVICE, create, told, visit

SMALL = {"dataset": {"name": "synthetic"}, "epochs": 2, "batch_size": 64}


def said(text):
    """Without the marks that keep it from being read as Markdown."""
    return text.replace("\\", "").replace("\u2060", "")


def ask(settings, name="Which <b>one</b>?", **fields):
    question = Question.parse(
        {"base": SMALL, "frameworks": ["torch", "keras"], "seeds": 5} | fields
    )
    return actions.submit(settings, question, by="test", name=name)


def finish_runs(folder, study_id, rates, failing=()):
    """End the study's runs as a supervisor would, at so many samples/s in each arm."""
    with database.opened(folder) as db:
        for index, trial in enumerate(studies.trials(db, study_id)):
            run_id, arm = trial.member.run_id, trial.member.arm
            runs.claim(db, run_id, host="here", devices=[DEVICE], now=100.0)
            rate = rates[arm] * (1 + index / 1000)
            ledger = {"import": 1.0, "compute": 4.0, "input_wait": 2.0}
            steady = {"steady_samples_per_s": rate, "steady_s": 4.0, "steady_steps": 1000}
            facts = {"ledger": ledger, **steady}
            environment = {"git": {"commit": "a" * 40, "dirty": False}, "python": "3.11"}
            points = [Point("validation_accuracy", 10, 2.0, 105.0, 0.9)]
            metrics.ingest(db, run_id, points, last_seq=1, offset=1, facts=facts,
                           environment=environment)  # fmt: skip
            status = "FAILED" if arm in failing else "SUCCEEDED"
            runs.finish(db, run_id, status, finished_at=108.0, failure="It broke: <i>why</i>.")


def test_the_studies_page_offers_a_form_and_says_what_will_happen(here):
    at = visit("studies")
    assert "No studies yet" in said(told(at))
    assert "2 arms x 5 seeds and a warm-up of each: 12 runs" in said(told(at))
    assert "no run of it yet" in said(told(at))


def test_a_study_of_no_runs_is_refused_in_a_sentence(here):
    at = visit("studies")
    at.text_input(key="study.seeds").set_value("0").run()
    assert "1 to 500 runs, got 0" in said(at.error[0].value)
    assert at.button(key="start-study").disabled


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("epochs", "1e9", "Epochs must be a whole number, got '1e9'."),
        ("seeds", "", "Seeds must be a whole number, got nothing."),
        ("target", "most", "Target accuracy must be a finite number, got 'most'."),
        ("target", "0.9", "Target accuracy must be between 1 and 100 %, got 0.9 %."),
        ("target", "nan", "Target accuracy must be between 1 and 100 %, got nan %."),
        ("tolerance", "", "Accuracy tolerance must be a finite number, got nothing."),
    ],
)
def test_what_is_no_number_stays_as_it_was_typed_and_is_refused(here, field, typed, sentence):
    at = visit("studies")
    at.text_input(key=f"study.{field}").set_value(typed).run()
    assert [said(error.value) for error in at.error] == [sentence]
    assert at.text_input(key=f"study.{field}").value == typed
    assert at.button(key="start-study").disabled


def test_start_puts_all_runs_into_the_queue(here):
    at = visit("studies")
    at.text_input(key="study.seeds").set_value("1")
    at.button(key="start-study").click().run()
    with database.opened(here) as db:
        (study,) = studies.list_newest(db, 5)
        assert [t.status for t in studies.trials(db, study.id)] == ["PENDING"] * 4


def test_a_run_is_studied_with_its_own_configuration(here):
    at = visit("studies", clone=create(here, epochs=77))
    at.button(key="start-study").click().run()
    with database.opened(here) as db:
        (study,) = studies.list_newest(db, 5)
    assert study.question["base"]["epochs"] == 77


def test_the_report_begins_with_the_verdict_and_gives_the_speedup(here, settings):
    study_id = ask(settings)
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    at = visit("study", id=study_id)
    frame = at.dataframe[0].value
    assert frame.loc["Speed-up"].tolist()[0] == "the baseline"
    assert frame.loc["Speed-up"].tolist()[1].startswith("0.50x (0.")
    assert "Which &lt;b&gt;one&lt;/b&gt;?" in said(told(at))
    assert "with reserve" in said(told(at))  # no readings tell whether the host was quiet


def test_prices_of_the_address_make_costs_and_a_break_even(here, settings):
    study_id = ask(settings)
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    at = visit("study", id=study_id, cpu="3600", kwh="nonsense")
    assert at.dataframe[0].value.loc["Cost of a run"].tolist() == ["$8.00 ($8.00 to $8.00)"] * 2
    assert "as cheap as" in said(told(at))
    at.text_input(key="price-cpu").set_value("free").run()
    sentence = "$ an hour, CPU must be a price from 0 to a million, got 'free'."
    assert [said(error.value) for error in at.error] == [sentence]
    at.text_input(key="price-cpu").set_value("7200").run()
    assert not at.error
    assert at.dataframe[0].value.loc["Cost of a run"].tolist()[0].startswith("$16.00")
    assert at.query_params["cpu"] == "7200"
    without = visit("study", id=study_id)
    assert "Cost of a run" not in without.dataframe[0].value.index
    assert "Costs by" not in said(told(without))


@pytest.mark.parametrize("given", ["free", "-1", "nan", "1e9"])
def test_a_price_of_the_address_that_is_none_is_told(given):
    is_right, _ = links.OF_STUDY["cpu"]
    assert not is_right(given)
    assert is_right("0.5")


def test_a_baseline_of_the_address_that_is_none_is_told(here, settings):
    study_id = ask(settings)
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    at = visit("study", id=study_id, baseline="PyTorch on a toaster")
    warned = " ".join(said(warning.value) for warning in at.warning)
    assert "'baseline' must be an arm of the study, got 'PyTorch on a toaster'" in warned


def test_the_baseline_is_chosen_on_the_report_and_kept_in_the_address(here, settings):
    study_id = ask(settings)
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    at = visit("study", id=study_id)
    at.selectbox(key="baseline").set_value("Keras/TensorFlow on CPU").run()
    assert at.query_params["baseline"] == "Keras/TensorFlow on CPU"
    speedups = at.dataframe[0].value.loc["Speed-up"].tolist()
    assert speedups[1] == "the baseline"
    assert speedups[0].startswith("2.0")
    at.selectbox(key="baseline").set_value("PyTorch on CPU").run()
    assert "baseline" not in at.query_params


def test_the_form_shows_the_plan_and_takes_a_baseline(here):
    at = visit("studies")
    at.selectbox(key="study.baseline").set_value("Keras/TensorFlow on CPU").run()
    arms, order = at.dataframe[0].value, at.dataframe[1].value
    assert arms["Framework"].tolist() == ["PyTorch", "Keras/TensorFlow"]
    assert order["As"].tolist()[:3] == ["warm-up", "warm-up", "seed 0"]
    at.button(key="start-study").click().run()
    with database.opened(here) as db:
        assert studies.list_newest(db, 1)[0].question["baseline"] == "Keras/TensorFlow on CPU"


def test_a_report_of_runs_under_way_shows_no_figures_yet(here, settings):
    at = visit("study", id=ask(settings))
    assert "Runs are under way" in said(told(at))
    assert not at.dataframe
    assert "Comparability" not in said(told(at))


def test_an_arm_that_failed_has_no_speedup_and_says_why(here, settings):
    study_id = ask(settings)
    rates = {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0}
    finish_runs(here, study_id, rates, failing=["Keras/TensorFlow on CPU"])
    at = visit("study", id=study_id)
    assert "not comparable" in at.dataframe[0].value.loc["Speed-up"].tolist()[1]
    assert "no run of 5 succeeded" in said(told(at))
    at.button(key="resume-study").click().run()
    with database.opened(here) as db:
        again = [t.member.arm for t in studies.trials(db, study_id) if t.status == "PENDING"]
    assert set(again) == {"Keras/TensorFlow on CPU"}
    assert len(again) == 6


def test_a_findings_button_starts_the_study_that_tests_it(here, settings):
    study_id = ask(settings, base=SMALL | {"input": "host_loader"}, frameworks=["torch"])
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0})
    at = visit("study", id=study_id)
    assert "1.50x as fast" in said(told(at))
    assert said(at.button(key="test-0").label) == "Test it with the data set on the device: 12 runs"
    at.button(key="test-0").click().run()
    with database.opened(here) as db:
        newest = studies.list_newest(db, 1)[0]
        assert newest.question["advice"] == {
            "rule": "input-bound", "changes": {"input": "device_resident"}, "promised": 1.5,
            "study": study_id, "arm": "PyTorch on CPU",
        }  # fmt: skip
    finish_runs(here, newest.id, {"As it was": 1000.0, "With the data set on the device": 1480.0})
    held = "The advice (input-bound) held: 1.50x was promised, and it is 1.4"
    with database.opened(here) as db:
        shown = report.of(db, studies.get(db, study_id))
        run_id = studies.trials(db, newest.id)[-1].member.run_id
    tested, advised = visit("study", id=newest.id), visit("study", id=study_id)
    assert held in said(tested.success[0].value)
    assert "advised for PyTorch on CPU: input-bound" in said(told(tested))
    assert f"/study?id={study_id}" in told(tested)
    assert held in said(told(advised))
    assert f"/study?id={newest.id}" in told(advised)
    assert said(advised.button(key="test-0").label).startswith("Test it again with")
    assert held in said(told(visit("run", id=run_id)))
    assert held in study_file.page(shown, Prices({})).decode()


def test_the_file_needs_no_network_and_takes_names_literally(here, settings):
    study_id = ask(settings, name="<script>alert(1)</script>")
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    with database.opened(here) as db:
        page = study_file.page(report.of(db, studies.get(db, study_id)), Prices({})).decode()
    assert "<script>alert(1)" not in page
    assert "<script src" not in page
    assert "<link" not in page
    assert "Plotly.newPlot" in page
    assert "0.50x" in page


def test_a_scaling_studys_report_says_first_that_its_devices_are_virtual(here, settings):
    asked = {"kind": "scaling", "frameworks": ["torch"], "device_counts": [1, 2]}
    study_id = ask(settings, **asked)
    finish_runs(here, study_id, {"1 device": 1000.0, "2 virtual devices": 1600.0})
    at = visit("study", id=study_id)
    assert "Up to 2 virtual devices on one CPU" in said(at.warning[0].value)
    scaled = at.dataframe[1].value
    assert scaled.loc["Efficiency"].tolist() == ["100 %", "80 %"]
    assert "Amdahl's fitted serial fraction is 25 %" in said(told(at))


def test_an_input_studys_report_shows_what_the_wait_costs(here, settings):
    study_id = ask(settings, kind="input", frameworks=["torch"], workers=[0, 1])
    rates = {"Data set on the device": 1500.0, "Loader on the host, 0 workers": 1000.0,
             "Loader on the host, 1 worker": 1200.0}  # fmt: skip
    finish_runs(here, study_id, rates)
    at = visit("study", id=study_id)
    probed = at.dataframe[1].value
    assert probed.loc["Without the wait, promised"].tolist() == ["1.50x", "1.50x"]
    assert probed.loc["Waits for samples"].tolist() == ["33 % of steps"] * 2


def test_the_form_asks_for_scaling_and_for_numbers_of_workers(here):
    at = visit("studies")
    at.segmented_control(key="study.kind").set_value("scaling").run()
    assert "says nothing of hardware" in said(told(at))
    at.text_input(key="study.counts").set_value("1, 3").run()
    assert "cannot be shared evenly by 3 devices" in said(at.error[0].value)
    at.segmented_control(key="study.kind").set_value("input").run()
    at.text_input(key="study.workers").set_value("0, 2").run()
    assert "3 arms x 5 seeds" in said(told(at))


def test_a_study_stops_with_all_its_runs(here, settings):
    study_id = ask(settings)
    at = visit("study", id=study_id)
    at.button(key="stop-study").click().run()
    with database.opened(here) as db:
        assert {t.status for t in studies.trials(db, study_id)} == {"STOPPED"}
        assert report.of(db, studies.get(db, study_id)).status == "STOPPED"


def test_a_study_whose_last_runs_still_run_says_that_it_is_stopping(here, settings):
    study_id = ask(settings)
    with database.opened(here) as db:
        first = studies.trials(db, study_id)[0].member.run_id
        runs.claim(db, first, host="here", devices=[DEVICE], now=100.0)
    at = visit("study", id=study_id)
    at.button(key="stop-study").click().run()
    assert "stopping" in said(told(at))
    assert at.button(key="stop-study").label == "Stopping"
    assert at.button(key="stop-study").disabled


@pytest.mark.parametrize("query", [{}, {"id": "nope"}, {"id": "0" * 12}])
def test_a_link_to_no_study_leads_to_a_plain_page(here, query):
    at = visit("study", **query)
    assert "Not found" in told(at)
    assert at.get("page_link")[0].proto.label == "All studies"


def test_why_a_cost_is_not_known_is_said_below_the_card_and_not_in_its_cells(here, settings):
    study_id = ask(settings)
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    at = visit("study", id=study_id, cpu="0.5", kwh="0.3")
    assert at.dataframe[0].value.loc["Cost of a run"].tolist() == ["—", "—"]
    assert "Cost: energy has a price and was not measured." in said(told(at))
