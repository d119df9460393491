"""What a run may be asked, and what is said to what it may not."""

import json

import pytest

from engine.config import RunConfig, RunDetails
from engine.problems import ConfigError


def sentences(raw):
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse(raw)
    return [problem.sentence for problem in caught.value.problems]


BAD = [
    ({"epochs": 0}, "Epochs must be between 1 and 100,000, got 0."),
    ({"epochs": -1}, "Epochs must be between 1 and 100,000, got -1."),
    ({"epochs": 10**9}, "Epochs must be between 1 and 100,000, got 1,000,000,000."),
    ({"epochs": "many"}, "Epochs must be a whole number, got 'many'."),
    ({"epochs": 1.5}, "Epochs must be a whole number, got 1.5."),
    ({"batch_size": 60_001},
     "Batch size 60,001 is larger than the data set's 60,000 training samples."),
    ({"learning_rate": 0}, "Learning rate must be above 0 and at most 1,000, got 0."),
    ({"learning_rate": "nan"}, "Learning rate must be a finite number, got 'nan'."),
    ({"learning_rate": 1e9}, "Learning rate must be above 0 and at most 1,000, got 1e+09."),
    ({"framework": "jax"}, "Unknown framework 'jax'. Choose one of: keras, torch, torch_xla."),
    ({"framework": "keras", "accelerator": "tpu"},
     "Keras/TensorFlow has no TPU trainer here; use PyTorch/XLA."),
    ({"framework": "torch_xla", "accelerator": "gpu"},
     "PyTorch/XLA 2.9 ships no CUDA build; use PyTorch or Keras/TensorFlow."),
    ({"precision": "fp16"}, "A CPU has no fp16 here. Choose one of: fp32, bf16."),
    ({"precision": "tf32"}, "A CPU has no tf32 here. Choose one of: fp32, bf16."),
    ({"framework": "torch_xla", "accelerator": "tpu", "devices": 4, "batch_size": 126},
     "Batch size 126 cannot be shared evenly by 4 devices."),
    ({"devices": 2, "batch_size": 33}, "Batch size 33 cannot be shared evenly by 2 devices."),
    ({"devices": 32}, "A CPU is divided into 16 virtual devices at most, got 32."),
    ({"framework": "keras", "accelerator": "gpu", "devices": 2},
     "Keras/TensorFlow trains on one GPU here: the libraries that it needs for several do "
     "not install beside PyTorch's, got 2. Take one, or PyTorch."),
    ({"loader_workers": 2},
     "Loader workers is of a loader on the host, got 2 with input device_resident. Choose input "
     "host_loader, or leave it out."),
    ({"input": "host_loader", "loader_workers": 65},
     "Loader workers must be between 0 and 64, got 65."),
    ({"input": "host_loader", "loader_prefetch": 2},
     "Loader prefetch needs workers to make batches ahead, got 2 with 0 workers. Choose 1 worker "
     "or more."),
    ({"input": "host_loader", "loader_pinned": True},
     "Loader pinned is for a GPU, which copies from page-locked memory faster, got True on a CPU. "
     "Leave it out."),
    ({"input": "host_loader", "loader_pinned": "maybe"},
     "Loader pinned must be true or false, got 'maybe'."),
    ({"epohcs": 3}, "Unknown field 'epohcs'. Did you mean 'epochs'?"),
    ({"workload": {"name": "cnn"}},
     "Unknown workload 'cnn'. Choose one of: mlp, convnet, resnet, vit."),
    ({"width": 3}, "Unknown field 'width'. Did you mean 'workload.width'?"),
    ({"workload": {"name": "mlp", "depht": 1}},
     "Unknown field 'workload.depht'. Did you mean 'workload.depth'?"),
    ({"workload": {"name": "resnet"}, "batch_size": 1,
      "dataset": {"name": "synthetic", "height": 3, "width": 4}},
     "The last stage makes one pixel of a picture of 3 x 4, and batch normalisation needs two. "
     "Choose batches of 2 or more, the last one too."),
    ({"dataset": {"name": "synthetic", "height": 0}},
     "Height must be between 1 and 1,024, got 0."),
    ({"devices": 0}, "Devices must be between 1 and 1,024, got 0."),
    ({"devices": ["cpu:0", "cpu:0"]}, "Devices names one twice: cpu:0, cpu:0."),
    ({"devices": []}, "Devices must be a count or ids such as cpu:0,gpu:1, got []."),
    ({"devices": [0, 1]}, "Devices must be a count or ids such as cpu:0,gpu:1, got [0, 1]."),
    ({"devices": ["\udcff"]},
     "Devices must be a count or ids such as cpu:0,gpu:1, got ['\\udcff']."),
    ({"devices": True}, "Devices must be a count or ids such as cpu:0,gpu:1, got True."),
    ({"epochs": True}, "Epochs must be a whole number, got 'true'."),
    ({"learning_rate": True}, "Learning rate must be a finite number, got 'true'."),
    ({"epochs.x": 3}, "Unknown field 'epochs.x'. Did you mean 'epochs'?"),
    ({"framework.x": 3}, "Unknown field 'framework.x'. Did you mean 'framework'?"),
    ({"devices.x": 3}, "Unknown field 'devices.x'. Did you mean 'devices'?"),
    ({"loader_pinned.x": 3}, "Unknown field 'loader_pinned.x'. Did you mean 'loader_pinned'?"),
    ({"dataset": {"name": "fashion_mnist", "height": 8}},
     "Unknown field 'dataset.height'. It is of another dataset: choose dataset=synthetic."),
    ({"dataset": {"name": "fashion_mnist", "sides": 8}},
     "Unknown field 'dataset.sides'. fashion_mnist has no fields to set."),
    ({"workload": {"name": "mlp", "heads": 8}},
     "Unknown field 'workload.heads'. It is of another workload: choose workload=vit."),
    ({"name": "x"}, "Unknown field 'name'. It is of the run, not of its config: give --name."),
    ({"accelerator": ""}, "Unknown accelerator ''. Choose one of: cpu, gpu, tpu."),
    ([1], "Config must be an object of named fields, got [1]."),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "sentence"), BAD, ids=[str(raw) for raw, _ in BAD])
def test_bad_input_gets_one_clear_sentence(raw, sentence):
    assert sentences(raw) == [sentence]


def test_each_wrong_field_is_named_at_once():
    assert len(sentences({"epochs": 0, "seed": -1, "optimizer": "lion"})) == 3


def test_all_that_does_not_fit_together_is_named_at_once():
    found = sentences({"devices": 3, "loader_workers": 2})
    assert [sentence.partition(" ")[0] for sentence in found] == ["Batch", "Loader"]


def test_what_may_be_left_empty_may_be_given_empty():
    given = {"timeout_s": "", "loader_prefetch": "", "loader_pinned": "", "devices": "1"}
    assert RunConfig.parse_flat(given) == RunConfig()


def test_defaults_are_the_patterns_examples():
    keras, torch = RunConfig.parse({"framework": "keras"}), RunConfig.parse({"framework": "torch"})
    assert (keras.batch_size, torch.batch_size) == (32, 128)
    assert (torch.epochs, torch.optimizer, torch.workload.width) == (10, "adam", 128)


def test_a_config_survives_json_and_flat_text():
    config = RunConfig.parse(
        {
            "framework": "keras",
            "learning_rate": 3.0000000000000001e-05,
            "devices": ["cpu:0"],
            "dataset": {"name": "synthetic", "height": 3, "channels": 2},
            "timeout_s": 90,
        }
    )
    assert RunConfig.parse(json.loads(config.model_dump_json())) == config
    assert RunConfig.parse_flat(config.flat()) == config


def test_only_full_batches_are_steps():
    config = RunConfig.parse({"batch_size": 128, "epochs": 2})
    assert (config.steps_per_epoch, config.total_steps) == (468, 936)


ODD_NAMES = [
    "<b>x</b>",
    "# heading",
    "'quoted\" `code`",
    "two\nlines",
    "🚀 émoji",
    "",
    "{x!r} %s $y$",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_kept_as_they_are(name):
    assert RunDetails.parse({"name": name}).name == name


@pytest.mark.parametrize(
    ("details", "sentence"),
    [
        ({"name": "x" * 10_000}, "Name may have 200 characters at most, got 10,000."),
        ({"name": "a\0b"}, "Name holds characters that are not Unicode text; type it again."),
        ({"notes": "a\0b"}, "Notes holds characters that are not Unicode text; type it again."),
        ({"tags": ["a\0b"]}, "A tag holds characters that are not Unicode text; type it again."),
        ({"name": "\ud800"}, "Name holds characters that are not Unicode text; type it again."),
        ({"tags": ["\udcff"]}, "A tag holds characters that are not Unicode text; type it again."),
        ({"priority": "abc"}, "Priority must be a whole number, got 'abc'."),
        ({"tags": ["x" * 51]}, "A tag may have 50 characters at most, got 51 in one."),
        ({"tags": [str(i) for i in range(21)]}, "Tags may have 20 entries at most, got 21."),
        ({"priority": 101}, "Priority must be between -100 and 100, got 101."),
    ],
)
def test_details_out_of_bounds_are_refused(details, sentence):
    with pytest.raises(ConfigError, match=sentence):
        RunDetails.parse(details)


def test_tags_are_trimmed_and_each_is_there_once():
    assert RunDetails.parse({"tags": [" a ", "a", "", "b"]}).tags == ("a", "b")
