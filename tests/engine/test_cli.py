"""The command line: the same engine, the same sentences, exit statuses that tell the outcome."""

import json
import re
import signal

import pytest
from click.testing import CliRunner

from engine import cli, launch, supervision
from engine.config import RunConfig
from storage import database, runs
from tests.processes import ENDLESS, SMALL, Lab, eventually, lab

SMALL_SET = [
    *("--set", "workload.width=16", "--set", "dataset=synthetic", "--set", "dataset.height=8"),
    *("--set", "dataset.width=8", "--set", "dataset.train_samples=2048"),
    *("--set", "dataset.test_samples=256", "--set", "batch_size=64", "--set", "epochs=1"),
]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """One store for all these tests, with a supervisor of its own."""
    with lab(tmp_path_factory.mktemp("cli") / "store") as made:
        launch.ensure_supervisor(made.settings)
        yield made


EPOCH_LINE = r"epoch (\d+)/100000, training loss [\d.e-]+, validation accuracy [\d.]+ %\n"


def lines(done):
    """The JSON objects of the output, a line each."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_submit_and_watch_ends_with_the_runs_outcome(here):
    done = here.cli("submit", *SMALL_SET, "--watch", "--json")
    assert done.returncode == 0, done.stderr
    last = lines(done)[-1]
    assert last["status"] == "SUCCEEDED"
    assert set(last["metrics"]["validation_accuracy"]) == {"best", "last"}
    assert last["metrics"]["train_loss"]["best"] <= last["metrics"]["train_loss"]["last"]
    assert here.run(last["id"]).framework == "torch"


@pytest.mark.parametrize("framework", ["keras", "torch", "torch_xla"])
def test_a_run_is_submitted_in_the_framework_that_is_named(tmp_path, framework):
    here = Lab(tmp_path)
    with supervision.locked(here.store):  # so that nothing is started
        asked = local(here, "submit", "--framework", framework, *SMALL_SET, "--json")
    (told,) = lines(asked)
    assert (told["status"], here.run(told["id"]).framework) == ("PENDING", framework)


@pytest.fixture
def broken(tmp_path):
    """A store whose trainers cannot be started."""
    not_python = tmp_path / "python"
    not_python.write_text("no program")
    with lab(tmp_path / "store", python_torch=not_python) as made:
        yield made


def test_submit_and_watch_of_a_run_that_fails_is_status_1_and_says_why(broken):
    done = broken.cli("submit", *SMALL_SET, "--watch", "--json")
    assert done.returncode == 1, done.stderr
    last = lines(done)[-1]
    assert (last["status"], last["failure_kind"]) == ("FAILED", "framework_error")
    assert str(broken.settings.python_torch) in last["failure"]


RUN_ON = ["study", "run-on", "--frameworks", "torch", "--devices", "cpu", "--cool-down", "0"]


def test_a_study_that_is_watched_ends_with_its_report_and_show_has_the_whole_card(here):
    given = [*RUN_ON, *SMALL_SET, "--seeds", "1", "--target-accuracy", "0.999999"]
    done = here.cli(*given, "--watch", "--json")
    assert done.returncode == 0, done.stderr
    *on_the_way, last = lines(done)
    assert {one["id"] for one in on_the_way} == {last["id"]}
    assert (last["status"], last["verdict"]["level"]) == ("SUCCEEDED", "amber")
    (card,) = last["report_card"]
    assert card["windows"].keys() >= {"p50_ms", "p95_ms", "p99_ms"}
    assert card["energy_provenance"]
    assert card.keys() >= {"mfu", "energy_j", "joules_per_sample", "samples_per_s"}
    assert (card["time_to_target_s"], card["target"]) == (None, "not reached in 1 epoch")
    shown = here.cli("study", "show", last["id"])
    assert shown.returncode == 0
    energy = " ".join(card["energy_provenance"].split()[:3])
    for told in ("p50/p95/p99, ms", "MFU", "energy", energy, "not reached in 1 epoch"):
        assert told in shown.stdout
    assert here.cli("study", "stop", last["id"]).returncode == 5
    more = here.cli("study", "resume", last["id"], "--seeds", "1", "--watch")
    assert more.returncode == 0
    assert more.stderr.startswith("2/3 runs")
    assert "\n3/3 runs\n" in more.stderr
    assert here.cli("study", "show", "nope").returncode == 4


@pytest.mark.parametrize("seeds", ["0", "10000"])
def test_a_study_of_no_runs_or_of_too_many_is_status_2_and_nothing_is_submitted(here, seeds):
    before = here.count()
    done = here.cli(*RUN_ON, *SMALL_SET, "--seeds", seeds, "--watch", "--json")
    assert (done.returncode, done.stdout, here.count()) == (2, "", before)
    assert f"A study has 1 to 500 runs, got {int(seeds):,} (1 arm x" in done.stderr


def test_a_study_of_which_every_run_fails_stops_after_a_few_with_status_1_and_says_why(broken):
    done = broken.cli(*RUN_ON, *SMALL_SET, "--seeds", "9", "--watch", "--json")
    assert done.returncode == 1, done.stderr
    last = lines(done)[-1]
    assert (last["status"], last["verdict"]["level"]) == ("FAILED", "red")
    assert (last["progress"]["runs"], last["progress"]["failed"]) == (10, 3)
    assert "3 runs failed and none succeeded" in last["stopped_because"]
    assert str(broken.settings.python_torch) in last["stopped_because"]


def test_list_and_show_tell_of_the_run_in_tables_and_in_json(here):
    run_id = here.submit(SMALL, name="told <b>\n\x1b[31mred", tags=["t"])
    here.over(run_id)
    listed = here.cli("list", "--json")
    assert run_id in [run["id"] for run in lines(listed)]
    table = here.cli("list").stdout
    assert run_id in table
    assert "\x1b" not in table
    shown = here.cli("show", run_id)
    assert r"told <b>\n\x1b[31mred" in shown.stdout
    assert "Validation accuracy" in shown.stdout
    (whole,) = lines(here.cli("show", run_id, "--json"))
    assert whole["name"] == "told <b>\n\x1b[31mred"


def test_a_shown_config_can_be_submitted_again(tmp_path):
    here, run_id = over(tmp_path, "one", seed=3)
    file = tmp_path / "config.json"
    (whole,) = lines(local(here, "show", run_id, "--json"))
    file.write_text(json.dumps(whole["config"]))
    with supervision.locked(here.store):  # so that nothing is started
        done = local(here, "submit", "--config", str(file), "--set", "epochs=1", "--json")
    assert here.run(lines(done)[0]["id"]).config == whole["config"] | {"epochs": 1}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "epochs=0"], "Epochs must be between 1 and 100,000, got 0."),
        (["--set", "learning_rate=nan"], "Learning rate must be a finite number, got 'nan'."),
        (["--set", "batch_size=60001"], "is larger than the data set's 60,000 training samples."),
        (["--set", "devices=cpu:9"], "cpu:9 is no CPU of this host. Choose from: cpu:0."),
        (["--set", "epohcs=3"], "Unknown field 'epohcs'. Did you mean 'epochs'?"),
        (["--framework", "keras", "--set", "accelerator=tpu"], "has no TPU trainer here"),
        (["--name", "x" * 10_000], "Name may have 200 characters at most, got 10,000."),
        (["--set", "epochs"], "--set takes KEY=VALUE, got 'epochs'."),
        (["--set", "epochs.x=3"], "Unknown field 'epochs.x'. Did you mean 'epochs'?"),
        (["--set", "name=x"], "It is of the run, not of its config: give --name."),
        (["--set", "accelerator="], "Unknown accelerator ''. Choose one of: cpu, gpu, tpu."),
        (["--set", f"devices={'x' * 10_000}"], f"Error: {'x' * 59}… is no CPU of this host."),
        (["--tag", "\udcff"], "A tag holds characters that are not Unicode text; type it again."),
        (["--priority", "abc"], "Priority must be a whole number, got 'abc'."),
    ],
)
def test_bad_input_is_one_sentence_status_2_and_nothing_written(here, arguments, sentence):
    before = here.count()
    done = local(here, "submit", *arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert isinstance(done.exception, SystemExit)
    assert here.count() == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"epochs": 1, "warmup": 3}', "Unknown field 'warmup'."),
        ('{"epochs": 1', "is not valid JSON"),
        ("[1, 2]", "must hold one JSON object"),
        ('{"devices": []}', "Devices must be a count or ids such as cpu:0,gpu:1, got []."),
    ],
)
def test_a_hand_edited_config_file_gets_a_sentence(here, tmp_path, text, sentence):
    file = tmp_path / "config.json"
    file.write_text(text)
    before = here.count()
    done = local(here, "submit", "--config", str(file))
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert here.count() == before


@pytest.mark.parametrize(
    ("command", "run_id"),
    [
        ("show", "../../etc/passwd"),
        ("watch", "' OR 1=1"),
        ("stop", "0" * 12),
        ("retry", "../../etc/passwd"),
    ],
)
def test_an_unknown_run_is_status_4(here, command, run_id):
    done = local(here, command, run_id)
    assert done.exit_code == 4
    assert "No run has the id" in done.stderr


def test_stop_frees_the_device_and_watch_tells_that_it_was_stopped(here):
    run_id = here.submit(ENDLESS)
    here.training(run_id)
    asked = here.cli("stop", run_id)
    assert (asked.returncode, asked.stdout) == (0, f"Asked run {run_id} to stop.\n")
    assert here.cli("watch", run_id).returncode == 3
    again = here.cli("stop", run_id)
    assert again.returncode == 5
    assert "is over already: STOPPED" in again.stderr


def test_ctrl_c_while_watching_leaves_the_run_running(here, monkeypatch):
    """With a bar as on a terminal, with lines where there is none, and with JSON."""
    run_id = here.submit(ENDLESS)
    pid = here.training(run_id).pid
    lines = here.start("-m", "engine", "watch", run_id)
    objects = here.start("-m", "engine", "watch", run_id, "--json")
    monkeypatch.setitem(here.env, "FORCE_COLOR", "1")
    bar = here.start("-m", "engine", "watch", run_id)
    for watcher, told in (
        (lines, EPOCH_LINE),
        (objects, r'"stopping": false'),
        (bar, r"epoch \d+"),
    ):
        eventually(lambda w=watcher, t=told: len(re.findall(t, here.output_of(w))) > 1, 60)
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(20) == 130
    numbers = [int(n) for n in re.findall(EPOCH_LINE, here.output_of(lines))]
    assert numbers == sorted(set(numbers))
    run = here.run(run_id)
    assert (run.status, run.pid) == ("RUNNING", pid)
    launch.stop(here.settings, run_id, by="test")
    assert here.over(run_id).status == "STOPPED"


def test_retry_is_a_new_run_of_the_same_config(tmp_path):
    here, first = over(tmp_path, "again", seed=9)
    with supervision.locked(here.store):  # so that nothing is started
        done = local(here, "retry", first, "--json")
    second = here.run(lines(done)[-1]["id"])
    assert (done.exit_code, second.status) == (0, "PENDING")
    assert (second.cloned_from, second.name) == (first, "again")
    assert second.config == here.run(first).config


def test_devices_names_the_hardware_and_why_the_rest_is_missing(here):
    told = lines(here.cli("devices", "--json"))
    assert told[0]["id"] == "cpu:0"
    for entry in told:
        assert entry.get("found_by") or entry["missing"]


def test_the_supervisor_can_be_asked_to_leave_while_its_run_trains_on(here):
    run_id = here.submit(ENDLESS)
    launch.ensure_supervisor(here.settings)
    pid = here.training(run_id).pid
    done = here.cli("supervisor", "--stop")
    assert "Runs that train go on." in done.stdout
    assert launch.supervisor_pid(here.settings) is None
    size = here.journal(run_id).stat().st_size
    eventually(lambda: here.journal(run_id).stat().st_size > size)
    launch.stop(here.settings, run_id, by="test")  # which starts another
    assert here.over(run_id).status == "STOPPED"
    assert here.run(run_id).pid == pid


@pytest.mark.parametrize(
    "command", ["submit", "list", "show", "watch", "stop", "retry", "devices", "supervisor"]
)
def test_each_command_explains_itself(command):
    done = CliRunner().invoke(cli.main, [command, "--help"])
    assert done.exit_code == 0
    assert "--store" in done.output


def test_submits_help_says_what_each_field_may_be():
    help_text = CliRunner().invoke(cli.main, ["submit", "--help"]).output
    told = dict(re.findall(r"^ +([\w.]+=\S*) {2,}(.+)$", help_text, re.MULTILINE))
    assert {pair.partition("=")[0] for pair in told} >= {
        *RunConfig().flat(),
        *RunConfig.model_fields,
    }
    assert told["epochs=10"] == "between 1 and 100,000"
    assert told["optimizer=adam"] == "adam, adamw, sgd"
    assert told["batch_size=128"] == "between 1 and 1,000,000; keras: 32 if left out"
    assert told["keep_last_batch=False"] == "true or false"
    assert told["workload.heads=4"] == "vit: between 1 and 64"


def test_a_run_that_was_asked_to_stop_is_told_as_such_until_it_has(tmp_path):
    here = Lab(tmp_path)
    run_id = here.submit(SMALL)
    with database.opened(here.store) as db:
        runs.claim(db, run_id, host="here", devices=[], now=1.0)
    with supervision.locked(here.store):  # so that nothing is started
        asked = local(here, "stop", run_id, "--json")
    assert lines(asked) == [{"id": run_id, "status": "RUNNING", "stopping": True}]
    assert [one["stopping"] for one in lines(local(here, "list", "--json"))] == [True]
    assert "STOPPING" in local(here, "list").stdout
    assert "STOPPING" in local(here, "show", run_id).stdout
    with database.opened(here.store) as db:
        runs.finish(db, run_id, "STOPPED", finished_at=2.0)
    assert not lines(local(here, "show", run_id, "--json"))[0]["stopping"]


def local(here, *arguments, **options):
    """A command in this process: nothing here starts a run."""
    command = [arguments[0], "--store", str(here.store), *arguments[1:]]
    return CliRunner().invoke(cli.main, command, **options)


def over(store, name, **config):
    made = Lab(store)
    run_id = made.submit(SMALL | config, name=name, tags=["a"])
    with database.opened(store) as db:
        runs.finish(db, run_id, "STOPPED", finished_at=1.0)
    return made, run_id


def test_a_run_is_edited_archived_restored_and_deleted(tmp_path):
    here, run_id = over(tmp_path, "old")
    assert local(here, "edit", run_id, "--name", "new", "--no-tags").exit_code == 0
    assert (here.run(run_id).name, here.run(run_id).tags) == ("new", ())
    assert local(here, "edit", run_id).exit_code == 2
    assert local(here, "archive", run_id).exit_code == 0
    assert run_id not in local(here, "list", "--json").stdout
    assert run_id in local(here, "list", "--archived", "--json").stdout
    assert local(here, "archive", run_id).exit_code == 5
    assert local(here, "restore", run_id).exit_code == 0
    asked = local(here, "delete", run_id, input="n\n")
    assert asked.exit_code == 1
    assert "0 points and 0 files" in asked.stderr
    assert here.count() == 1
    assert local(here, "delete", run_id, "--yes").exit_code == 0
    assert local(here, "delete", run_id, "--yes").exit_code == 4


def test_a_run_is_exported_and_imported(tmp_path):
    here, run_id = over(tmp_path / "here", "one")
    there = Lab(tmp_path / "there")
    file = str(tmp_path / "run.zip")
    assert local(here, "export", run_id, file).exit_code == 0
    assert local(there, "import", file).exit_code == 0
    assert there.run(run_id) == here.run(run_id)
    assert local(there, "import", file).exit_code == 5
    (tmp_path / "run.zip").write_text("nonsense")
    refused = local(there, "import", file)
    assert (refused.exit_code, "no exported run" in refused.stderr) == (2, True)


def test_list_takes_a_query_and_says_what_is_wrong_with_a_bad_one(tmp_path):
    here, run_id = over(tmp_path, "one")
    assert run_id in local(here, "list", "--query", "tag = a", "--sort", "name", "--json").stdout
    assert local(here, "list", "--query", "tag = b", "--json").stdout == ""
    refused = local(here, "list", "--query", "tagg = b")
    assert (refused.exit_code, "Did you mean 'tag'?" in refused.stderr) == (2, True)


def test_a_store_that_is_not_there_is_said_and_not_made(tmp_path, monkeypatch):
    mistyped = tmp_path / "mistyped"
    monkeypatch.setenv("ACCELBOARD_STORE", str(mistyped))
    for command in (["list"], ["show", "x"], ["stop", "x"], ["study", "list"]):
        refused = CliRunner().invoke(cli.main, command)
        assert refused.exit_code == 5
        assert f"There is no store in '{mistyped}'." in refused.stderr
    assert CliRunner().invoke(cli.main, ["devices"]).exit_code == 0
    assert not mistyped.exists()


@pytest.mark.parametrize(
    "command",
    ["--store {} list --json", "list --json --store {}", "--store x list --json --store {}"],
)
def test_the_store_is_named_before_a_command_or_after_it(tmp_path, command):
    here, run_id = over(tmp_path, "one")
    arguments = command.format(here.store).split()
    assert run_id in CliRunner().invoke(cli.main, arguments).stdout
    studies = CliRunner().invoke(cli.main, ["study", "--store", str(here.store), "list", "--json"])
    assert (studies.exit_code, studies.stdout) == (0, "")
