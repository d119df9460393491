"""What shapes what a page shows is in its address, every control of it, and comes back."""

import pytest

from dashboard import tpu_view
from dashboard.form_state import KEY as NEW_RUN
from tests.dashboard.pages import finished, visit
from tests.dashboard.test_study_pages import ask, finish_runs

KINDS = ("text_input", "selectbox", "multiselect", "toggle", "slider",
         "segmented_control", "pills", "text_area", "checkbox", "radio")  # fmt: skip
# What is typed or chosen for something that is then done. The form of New run is tested apart.
FOR_ACTIONS = ("compare-find", "runs-", "show-move", "edit-", "reference-", "resume-", NEW_RUN)


def opened(page, query, menus):
    at = visit(page, **query)
    for menu in menus:
        at.session_state[menu] = True
    return at.run() if menus else at


def controls(at):
    """Key -> value, of all that shapes what the page shows."""
    every = {widget.key: widget.value for kind in KINDS for widget in getattr(at, kind)}
    return {key: value for key, value in every.items() if not str(key).startswith(FOR_ACTIONS)}


def chosen(at, values):
    """The page with these values, chosen one after the other."""
    for key, value in values.items():
        kinds = {widget.key: widget for kind in KINDS for widget in getattr(at, kind)}
        kinds[key].set_value(value).run()
        assert not at.exception
    return at


def address(at):
    """As the browser has it: it writes what is chosen in controls that are bound to it."""
    held = {name: at.query_params[name] for name in at.query_params}
    bound = {w.proto.query_param_key: w for kind in KINDS for w in getattr(at, kind)}
    return held | {name: w.value for name, w in bound.items() if name and w.value}


def assert_all_comes_back(page, query, menus, values):
    at = opened(page, query, menus)
    assert set(controls(at)) <= set(values), "A control that this test does not know."
    at = chosen(at, values)
    fresh = controls(opened(page, address(at), menus))
    shown = controls(at)
    assert {key: shown[key] for key in values if key in shown} == {
        key: values[key] for key in values if key in shown
    }
    assert fresh == shown


def test_of_the_table_of_runs(here):
    run_id = finished(here, "one")
    finished(here, "two", framework="keras")
    values = {
        "filter-status": ["SUCCEEDED"], "filter-framework": ["keras"],
        "filter-accelerator": ["cpu"], "filter-device": ["A CPU"], "filter-workload": ["mlp"],
        "filter-tag": ["mine"], "filter-since": "2020-01-31", "filter-until": "2100-01-01",
        "filter-archived": True, "filter-columns": ["name", "accuracy", "took"],
        "filter-pinned": ["name"], "show-sort": "took", "show-descending": False,
        "show-baseline": run_id, "q": "two", "query": "accuracy > 0.1",
        "filter-group": ["framework", "config.epochs"],
    }  # fmt: skip
    assert_all_comes_back("runs", {}, ("filter-menu", "show-menu"), values)


def test_of_a_run(here):
    run_id = finished(here)
    (folder := here / "runs" / run_id).mkdir(parents=True)
    (folder / "trainer.log").write_text("one\ntwo\n")
    values = {"x": "time", "log": ["y"], "smooth": 0.5, "log-search": "two"}
    assert_all_comes_back("run", {"id": run_id}, (), values)


def test_of_the_slice_that_a_run_is_checked_for(here):
    run_id = finished(here)
    curves = {"x": "step", "log": ["x"], "smooth": 0.1}
    at = {"id": run_id, "tab": "TPU check"}
    assert_all_comes_back("run", at, (), curves | {tpu_view.TOPOLOGY: "v5e:2x2"})
    assert_all_comes_back("new_run", {}, (), {tpu_view.TOPOLOGY: "v5e:2x2"})


def test_of_a_comparison(here):
    ids = [finished(here, f"run {n}", seed=n, learning_rate=0.1 * (1 + n % 2)) for n in range(3)]
    values = {
        "compare-metric": ["train_loss"], "compare-x": "clock", "compare-group": "learning_rate",
        "compare-base": ids[1], "compare-smooth": 0.3, "compare-log": ["x"], "compare-full": True,
        "compare-end": "last", "compare-sort": "train_loss", "compare-key": "rate",
        "compare-all": True, "compare-px": "seed", "compare-py": "metric.train_loss",
        "compare-dims": ["seed", "metric.train_loss"],
    }  # fmt: skip
    assert_all_comes_back("compare", {"runs": ids}, (), values)


def test_of_a_study(here, settings):
    study_id = ask(settings)
    finish_runs(here, study_id, {"PyTorch on CPU": 1000.0, "Keras/TensorFlow on CPU": 500.0})
    values = {"price-cpu": "2.5", "price-kwh": "0.3", "price-co2": "100",
              "baseline": "Keras/TensorFlow on CPU"}  # fmt: skip
    assert_all_comes_back("study", {"id": study_id}, (), values)


@pytest.mark.parametrize("kind", ["run_on", "scaling", "saturation", "input"])
def test_of_a_question(here, kind):
    usual = {"study.name": "mine", "study.workload": "convnet", "study.dataset": "synthetic",
             "study.epochs": "7", "study.batch": "128", "study.seeds": "6", "study.target": "90",
             "study.tolerance": "2.5", "study.cool_down": "3"}  # fmt: skip
    one = {"study.framework": "keras", "study.device": "cpu"}
    own = {
        "run_on": {"study.frameworks": ["torch", "torch_xla"], "study.devices": ["cpu"],
                   "study.baseline": "PyTorch/XLA on CPU"},
        "scaling": one | {"study.counts": "1, 2", "study.mode": "weak"},
        "saturation": one | {"study.sizes": "32, 64", "study.precisions": ["bf16"]},
        "input": one | {"study.workers": "0, 3", "study.prefetches": "2"},
    }[kind]  # fmt: skip
    choices = {"study.baseline"} if kind != "run_on" else set()
    at = opened("studies", {"study.kind": kind}, ())
    assert set(controls(at)) - choices <= {"study.kind", *usual, *own}
    at = chosen(at, {"study.kind": kind} | usual | own)
    shown, fresh = controls(at), controls(opened("studies", address(at), ()))
    assert shown.items() >= (usual | own).items()
    assert fresh == shown
