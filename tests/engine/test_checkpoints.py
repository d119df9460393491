"""Checkpoints: whole or refused, and only for a run that they fit."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, load_file, save_file

from engine import checkpoints, workloads
from engine.checkpoints import Unusable
from engine.config import RunConfig

CONFIG = RunConfig.parse({"epochs": 10})
STATE = {
    "model.logits.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "optimizer.0.step": np.array(7.0, np.float32),
    "optimizer.0.none": np.zeros(0, np.float32),
}


@pytest.fixture
def path(tmp_path):
    made = checkpoints.path_in(tmp_path)
    checkpoints.write(made, STATE, run_id="r1", config=CONFIG, epoch=3, at=50.0)
    return made


def changed(**fields):
    return RunConfig.parse(CONFIG.model_dump(mode="json") | fields)


def test_what_was_written_comes_back_bit_for_bit(path):
    origin, state = checkpoints.load(path, CONFIG)
    assert (origin.run_id, origin.epoch, origin.at) == ("r1", 3, 50.0)
    assert origin.step == 3 * CONFIG.steps_per_epoch
    assert set(state) == set(STATE)
    for name, array in STATE.items():
        assert state[name].tobytes() == array.tobytes()
        assert state[name].shape == array.shape


def test_a_later_one_takes_the_place_of_an_earlier_one(path):
    checkpoints.write(path, STATE, run_id="r1", config=CONFIG, epoch=4, at=60.0)
    assert checkpoints.origin_of(path).epoch == 4
    assert [file.name for file in path.parent.iterdir()] == [checkpoints.FILE_NAME]


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_one_is_refused_in_a_sentence(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Unusable, match=r"^The checkpoint checkpoint\.safetensors is damaged \("):
        checkpoints.load(path, CONFIG)


def test_one_whose_numbers_were_changed_is_refused(path):
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Unusable, match="its contents do not match their digest"):
        checkpoints.load(path, CONFIG)


def test_none_at_all_is_said_plainly(tmp_path):
    with pytest.raises(Unusable, match="It has no checkpoint"):
        checkpoints.load(checkpoints.path_in(tmp_path), CONFIG)


def test_one_of_another_workload_names_both(path):
    with pytest.raises(Unusable) as refused:
        checkpoints.load(path, changed(workload={"name": "convnet"}))
    assert str(refused.value) == (
        "The checkpoint is of a run with workload mlp width=128 depth=1, and this one has convnet "
        "width=32 depth=2. Resume with the same, or start from the beginning."
    )


def test_one_whose_epochs_have_other_steps_is_refused(path):
    with pytest.raises(Unusable, match="a run with keep_last_batch False, and this one has True"):
        checkpoints.load(path, changed(keep_last_batch=True))


def test_one_of_before_a_field_was_there_fits_what_was_usual_then(path):
    with safe_open(path, "numpy") as file:
        origin = json.loads(file.metadata()["origin"])
    config = json.loads(origin["config"])
    del config["keep_last_batch"]
    save_file(
        load_file(path), path, {"origin": json.dumps(origin | {"config": json.dumps(config)})}
    )
    assert checkpoints.load(path, CONFIG)[0].epoch == 3


def as_of_version(path, config, version):
    """A whole checkpoint of the config, as it was written by that version of its workload: None
    is before there were versions.
    """
    checkpoints.write(path, STATE, run_id="r1", config=config, epoch=3, at=50.0)
    with safe_open(path, "numpy") as file:
        origin = json.loads(file.metadata()["origin"])
    assert origin.pop("workload_version") == workloads.version(config.workload.name)
    told = {} if version is None else {"workload_version": version}
    save_file(load_file(path), path, {"origin": json.dumps(origin | told)})
    return path


@pytest.mark.parametrize(("written", "told"), [(None, 1), (1, 1), (3, 3)])
def test_one_of_another_version_of_its_workload_is_refused_in_a_sentence(path, written, told):
    convnet = changed(workload={"name": "convnet"})
    with pytest.raises(Unusable) as refused:
        checkpoints.load(as_of_version(path, convnet, written), convnet)
    assert str(refused.value) == (
        f"The checkpoint is of version {told} of convnet, whose model is another than that of "
        "version 2, which trains here. Start from the beginning: retry."
    )
    assert load(checkpoints.weights(path))  # which can still be downloaded


def test_one_of_before_there_were_versions_is_of_the_first(path):
    origin, _ = checkpoints.load(as_of_version(path, CONFIG, None), CONFIG)
    assert origin.workload_version == workloads.version("mlp") == 1


@pytest.mark.parametrize("version", ["2", 2.5, {}])
def test_one_whose_version_is_no_number_is_damaged(path, version):
    with pytest.raises(Unusable, match="is damaged"):
        checkpoints.load(as_of_version(path, CONFIG, version), CONFIG)


def test_weights_say_of_which_version_they_are(path):
    convnet = changed(workload={"name": "convnet"})
    path.with_name("weights").write_bytes(checkpoints.weights(as_of_version(path, convnet, 2)))
    with safe_open(path.with_name("weights"), "numpy") as file:
        assert file.metadata()["workload_version"] == "2"


def test_more_epochs_are_welcome_and_no_more_are_refused(path):
    checkpoints.load(path, changed(epochs=20))
    with pytest.raises(Unusable, match="nothing is left to train"):
        checkpoints.load(path, changed(epochs=3))


def test_weights_are_the_model_alone_under_its_own_names(path):
    assert list(load(checkpoints.weights(path))) == ["logits.weight"]
