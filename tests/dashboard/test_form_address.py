"""The New run form and its address: each brings the other back, or says in words what it cannot."""

import json

import pytest
from click.testing import CliRunner

from dashboard import words
from engine import cli
from storage import database, runs
from tests.dashboard.pages import create, told, visit

WRONG = [
    {"dataset.height": "8"},
    {"loader_workers": "2"},
    {"input": "host_loader", "loader_pinned": "maybe"},
    {"devices": "-1"},
    {"devices": "32"},
    {"devices": "4096"},
    {"devices": "cpu:9"},
    {"devices": "x" * 500},
    {"devices": "3"},
    {"epochs": "0"},
    {"epochs": "-1"},
    {"epochs": "1000000000"},
    {"epochs": "1.5"},
    {"epochs": "lots"},
    {"epochs.x": "3"},
    {"batch_size": "70000"},
    {"learning_rate": "0"},
    {"learning_rate": "nan"},
    {"learning_rate": "1e9"},
    {"seed": str(2**53)},
    {"accelerator": "tpu"},
    {"framework": "keras", "accelerator": "tpu"},
    {"accelerator": "gpu", "devices": "gpu:99"},
    {"framework": "jax"},
    {"accelerator": ""},
    {"framework": "torch_xla", "accelerator": "gpu"},
    {"precision": "fp16"},
    {"workload": "vit", "workload.heads": "3"},
    {"workload.heads": "3"},
    {"warmup": "3"},
    {"epohcs": "3"},
]
NAMES = ["<b>x</b>", "# **m** [l](javascript:x)", "'q\" OR 1=1 --", "two\nlines", "🚀", ""]


def command(*arguments):
    return CliRunner().invoke(cli.main, [*arguments])


def asked_of_the_command_line(flat, **details):
    pairs = [part for name, text in flat.items() for part in ("--set", f"{name}={text}")]
    named = [part for name, text in details.items() for part in (f"--{name}", text)]
    done = command("submit", *pairs, *named)
    assert (done.exit_code, done.stdout) == (2, "")
    return [line.removeprefix("Error: ") for line in done.stderr.splitlines()]


def waiting(folder):
    with database.opened(folder) as db:
        return runs.queue(db)


def said(at):
    return [error.value for error in at.error]


@pytest.mark.parametrize("flat", WRONG, ids=str)
def test_what_the_command_line_refuses_an_address_gets_the_same_sentence_for_once(here, flat):
    at = visit("new_run", **flat)
    assert said(at) == [words.plain(one) for one in asked_of_the_command_line(flat)]
    assert at.button(key="start").disabled
    assert waiting(here) == []


def test_so_does_a_config_file_with_a_field_that_is_none(here, tmp_path):
    (tmp_path / "edited.json").write_text(json.dumps({"epochs": 1, "warmup": 3}))
    done = command("submit", "--config", str(tmp_path / "edited.json"))
    assert (done.exit_code, waiting(here)) == (2, [])
    (sentence,) = asked_of_the_command_line({"warmup": "3"})
    assert done.stderr == f"Error: {sentence}\n"


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_name_is_kept_whether_it_comes_by_address_or_by_command(here, name):
    visit("new_run", name=name).button(key="start").click().run()
    assert command("submit", "--name", name).exit_code == 0
    assert [run.name for run in waiting(here)] == [name or "mlp, PyTorch on CPU"] * 2


@pytest.mark.parametrize("run_id", ["../../etc/passwd", "' OR 1=1", "<b>x</b>", "0" * 12])
def test_an_odd_run_id_gets_the_same_sentence_on_its_page_and_by_command(here, run_id):
    done = command("show", run_id)
    assert done.exit_code == 4
    sentence = done.stderr.removeprefix("Error: ").strip()
    assert visit("run", id=run_id).info[0].value == words.plain(sentence)


@pytest.mark.parametrize(
    "details", [{"priority": "abc"}, {"priority": "101"}, {"name": "x" * 10_000}], ids=str
)
def test_so_does_what_a_run_is_called(here, details):
    sentences = asked_of_the_command_line({}, **details)
    assert said(visit("new_run", **details)) == [words.plain(one) for one in sentences]


def test_one_fault_hides_no_other(here):
    at = visit("new_run", epochs="0", loader_workers="2", accelerator="tpu", devices="3")
    for part in ("Epochs must", "Loader workers is of", "PyTorch drives a TPU", "cannot be shared"):
        assert sum(part in one for one in said(at)) == 1, part


def test_what_the_command_line_takes_the_form_takes(here):
    at = visit("new_run", epochs="3.0", input="host_loader", loader_pinned="no", timeout_s="")
    assert not at.error
    assert at.text_input(key="new.epochs").value == "3"
    assert at.query_params["loader_pinned"] in ("False", ["False"])


def full(folder):
    """A run with all that a form may leave empty."""
    run_id = create(folder, devices=["cpu:0"], timeout_s=90, input="host_loader",
                    loader_workers=2, loader_prefetch=4)  # fmt: skip
    with database.opened(folder) as db:
        runs.edit(db, run_id, notes="why")
    return run_id


def test_what_is_cleared_in_a_clone_stays_so_in_its_link(here):
    run_id = full(here)
    at = visit("new_run", clone=run_id)
    at.multiselect(key="new.devices").set_value([]).run()
    at.multiselect(key="new.tags").set_value([]).run()
    at.text_input(key="new.timeout_s").set_value("").run()
    at.text_input(key="new.loader_prefetch").set_value("").run()
    at.text_area(key="new.notes").set_value("").run()
    link = {name: at.query_params[name] for name in at.query_params}
    assert not at.error
    again = visit("new_run", **link)
    assert not again.error
    again.button(key="start").click().run()
    with database.opened(here) as db:
        clone = next(run for run in runs.queue(db) if run.id != run_id)
    cleared = {name: clone.config[name] for name in ("devices", "timeout_s", "loader_prefetch")}
    assert cleared == {"devices": 1, "timeout_s": None, "loader_prefetch": None}
    assert (clone.tags, clone.notes, clone.config["loader_workers"]) == ((), "", 2)


def test_a_clone_without_its_loader_has_a_link(here):
    at = visit("new_run", clone=full(here))
    at.selectbox(key="new.input").set_value("device_resident").run()
    assert not at.error
    link = {name: at.query_params[name] for name in at.query_params}
    assert "loader_workers" not in link
    assert not visit("new_run", **link).error


def test_a_data_sets_fields_are_in_the_link_with_it_alone(here):
    at = visit("new_run", **{"dataset": "synthetic", "dataset.height": "8"})
    assert at.query_params["dataset.height"] in ("8", ["8"])
    at.selectbox(key="new.dataset").set_value("fashion_mnist").run()
    assert "dataset.height" not in at.query_params
    at.selectbox(key="new.dataset").set_value("synthetic").run()
    assert at.text_input(key="new.dataset.height").value == "8"


def test_what_is_too_long_for_a_link_is_said(here):
    at = visit("new_run")
    at.text_area(key="new.notes").set_value("x" * 1001).run()
    assert "Too long for a link, which lacks it: notes." in told(at)
    assert "notes" not in at.query_params


def test_a_field_that_the_reader_mends_is_refused_no_longer(here):
    at = visit("new_run", framework="nope", epochs="-1")
    assert len(said(at)) == 2
    at.text_input(key="new.epochs").set_value("3").run()
    assert [one.startswith("Unknown framework") for one in said(at)] == [True]
    at.segmented_control(key="new.framework").set_value("keras").run()
    assert not at.error
    assert at.query_params["framework"] in ("keras", ["keras"])
    assert not at.button(key="start").disabled
