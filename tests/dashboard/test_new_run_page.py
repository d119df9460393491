"""The form as a script: what it begins with, refuses and keeps. No browser."""

import pytest

from dashboard import words
from storage import database, runs
from tests.dashboard.pages import told, visit


def test_the_form_begins_with_the_patterns_defaults(here):
    at = visit("new_run")
    values = {name: at.text_input(key=f"new.{name}").value for name in ("epochs", "batch_size")}
    assert values == {"epochs": "10", "batch_size": "128"}
    assert "GPU" in told(at)  # what this host lacks is named, with its reason


def test_another_framework_brings_its_batch_size_unless_one_was_chosen(here):
    at = visit("new_run")
    at.segmented_control(key="new.framework").set_value("keras").run()
    assert at.text_input(key="new.batch_size").value == "32"
    at.text_input(key="new.batch_size").set_value("100").run()
    at.segmented_control(key="new.framework").set_value("torch").run()
    assert at.text_input(key="new.batch_size").value == "100"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("epochs", "0", "Epochs must be between 1 and 100,000, got 0."),
        ("epochs", "1000000000", "Epochs must be between 1 and 100,000, got 1,000,000,000."),
        ("epochs", "1e9", "Epochs must be a whole number, got '1e9'."),
        ("epochs", "", "Epochs must be a whole number, got nothing."),
        ("batch_size", "60001", "Batch size 60,001 is larger than"),
        ("batch_size", "1,000", "Batch size must be a whole number, got '1,000'."),
        ("learning_rate", "0", "Learning rate must be above 0 and at most 1,000, got 0."),
        ("learning_rate", "1e9", "Learning rate must be above 0"),
        ("learning_rate", "", "Learning rate must be a finite number, got nothing."),
        ("seed", "-1", "Seed must be between 0"),
        ("count", "", "Devices must be a count or ids"),
        ("count", "9" * 5000, "9"),
        ("workload.width", "wide", "Width must be a whole number, got 'wide'."),
        ("priority", "", "Priority must be a whole number, got nothing."),
    ],
)
def test_a_bad_value_gets_its_sentence_and_nothing_is_written(here, field, value, sentence):
    at = visit("new_run")
    at.text_input(key=f"new.{field}").set_value(value).run()
    assert at.button(key="start").disabled
    assert words.plain(sentence) in at.error[0].value
    assert at.text_input(key=f"new.{field}").value == value
    with database.opened(here) as db:
        assert runs.queue(db) == []


@pytest.mark.parametrize("name", ["<b>x</b>", "two\nlines", "🚀", "' OR 1=1", ""])
def test_odd_names_are_kept(here, name):
    at = visit("new_run")
    at.text_input(key="new.name").set_value(name).run()
    at.button(key="start").click().run()
    with database.opened(here) as db:
        (run,) = runs.queue(db)
    assert run.name == (name or "mlp, PyTorch on CPU")


def test_an_address_the_form_cannot_take_waits_until_it_is_accepted(here):
    at = visit("new_run", epohcs="3", epochs="2")
    assert "Did you mean" in at.error[0].value
    assert at.button(key="start").disabled
    at.button(key="accept").click().run()
    assert not at.error
    assert at.text_input(key="new.epochs").value == "2"


def test_a_cpu_is_divided_by_the_form_and_by_its_address_and_is_labelled(here):
    at = visit("new_run", devices="4", batch_size="128")
    assert at.text_input(key="new.count").value == "4"
    assert "4 virtual devices on one CPU: it exercises the code" in told(at)
    at.text_input(key="new.count").set_value("2").run()
    assert at.query_params["devices"] in ("2", ["2"])
    at.button(key="start").click().run()
    with database.opened(here) as db:
        (run,) = runs.queue(db)
    assert (run.config["devices"], run.name) == (2, "mlp, PyTorch on 2 virtual devices on one CPU")


def test_a_number_of_devices_that_cannot_share_the_batch_is_refused_in_a_sentence(here):
    at = visit("new_run", devices="3")
    assert "Batch size 128 cannot be shared evenly by 3 devices" in at.error[0].value


def test_a_loaders_settings_are_in_the_form_and_in_the_address(here):
    at = visit("new_run", input="host_loader", loader_workers="2", loader_prefetch="4")
    assert not at.error
    at.text_input(key="new.loader_workers").set_value("3").run()
    assert at.query_params["loader_workers"] in ("3", ["3"])
    at.selectbox(key="new.input").set_value("device_resident").run()
    assert not at.error
    at.selectbox(key="new.input").set_value("host_loader").run()
    assert at.text_input(key="new.loader_prefetch").value == "4"
    at.button(key="start").click().run()
    with database.opened(here) as db:
        (run,) = runs.queue(db)
    asked = {name: run.config[name] for name in ("input", "loader_workers", "loader_prefetch")}
    assert asked == {"input": "host_loader", "loader_workers": 3, "loader_prefetch": 4}


def test_a_clone_of_no_run_gets_a_plain_page(here):
    assert "no run to clone" in told(visit("new_run", clone="nope")).replace("\\", "")
