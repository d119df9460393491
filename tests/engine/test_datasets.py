"""Data sets: found, verified, kept, or missed with the way out. Real files, a real web server."""

import dataclasses
import functools
import http.server
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from engine import datasets
from engine.config import FashionMnist, Synthetic
from engine.datasets import DEBIAN_FOLDER, FASHION_MNIST_SHA256, Sources
from engine.failures import RunFailed

needs_files = pytest.mark.skipif(
    not DEBIAN_FOLDER.exists(), reason=f"No Fashion-MNIST in {DEBIAN_FOLDER}"
)
UNREACHABLE = "http://127.0.0.1:9"


class Site(http.server.SimpleHTTPRequestHandler):
    """Keeps what was asked for; `asked` is the test's."""

    def __init__(self, *arguments, asked, **options):
        self.asked = asked
        super().__init__(*arguments, **options)

    def log_message(self, *_):
        self.asked.append(self.path)


@pytest.fixture
def serve(monkeypatch):
    """Serve a folder on loopback: `url, asked = serve(folder)`."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(folder):
        asked = []
        handler = functools.partial(Site, directory=folder, asked=asked)
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def nowhere(tmp_path, *sites):
    return Sources(folder=tmp_path / "no-package", sites=sites, timeout_s=5)


@needs_files
def test_fashion_mnist_is_taken_from_debians_package(tmp_path):
    data = datasets.load(FashionMnist(), tmp_path, Sources(sites=()))
    assert (data.train_images.shape, data.train_images.dtype) == ((60_000, 28, 28, 1), np.uint8)
    assert (data.test_images.shape, data.test_labels.dtype) == ((10_000, 28, 28, 1), np.int64)
    assert np.bincount(data.train_labels).tolist() == [6000] * 10
    assert not (tmp_path / "fashion-mnist").exists()


def test_data_that_is_nowhere_fails_the_run_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(RunFailed) as failed:
        datasets.load(FashionMnist(), tmp_path, nowhere(tmp_path, UNREACHABLE))
    assert failed.value.kind == "data_missing"
    for part in (
        *("train-images-idx3-ubyte.gz", "dataset-fashion-mnist", str(tmp_path / "fashion-mnist")),
        *(f"{UNREACHABLE}/train-images-idx3-ubyte.gz", "Connection refused"),
    ):
        assert part in failed.value.sentence


@needs_files
def test_a_download_is_verified_and_kept_for_the_next_run(tmp_path, serve):
    url, asked = serve(DEBIAN_FOLDER)
    data = datasets.load(FashionMnist(), tmp_path, nowhere(tmp_path, UNREACHABLE, url))
    assert len(asked) == 4
    again = datasets.load(FashionMnist(), tmp_path, nowhere(tmp_path, url))
    assert len(asked) == 4
    assert np.array_equal(data.train_images, again.train_images)
    kept = sorted(path.name for path in (tmp_path / "fashion-mnist").iterdir())
    assert kept == sorted(FASHION_MNIST_SHA256)


@needs_files
def test_a_download_that_cannot_be_kept_is_used_all_the_same(tmp_path, serve, capsys):
    url, _ = serve(DEBIAN_FOLDER)
    (tmp_path / "fashion-mnist").write_text("a file where the folder should be")
    data = datasets.load(FashionMnist(), tmp_path, nowhere(tmp_path, url))
    assert len(data.test_labels) == 10_000
    assert "was not kept" in capsys.readouterr().err


@needs_files
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "page"])
def test_a_damaged_download_is_never_used_nor_kept(tmp_path, serve, damage):
    site = tmp_path / "site"
    site.mkdir()
    name = "train-images-idx3-ubyte.gz"
    (site / name).write_bytes(damaged((DEBIAN_FOLDER / name).read_bytes(), damage))
    url, _ = serve(site)
    with pytest.raises(RunFailed) as failed:
        datasets.load(FashionMnist(), tmp_path, nowhere(tmp_path, url))
    assert failed.value.kind == "data_missing"
    assert f"{url}/{name} gave a damaged file" in failed.value.sentence
    assert not (tmp_path / "fashion-mnist").exists()


def damaged(whole, damage):
    middle = len(whole) // 2
    return {
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "page": b"<html>Log in to use this network</html>",
    }[damage]


@needs_files
def test_a_damaged_file_in_the_cache_is_passed_over_and_said(tmp_path, capsys):
    cache = tmp_path / "fashion-mnist"
    shutil.copytree(DEBIAN_FOLDER, cache)
    damaged_file = cache / "t10k-labels-idx1-ubyte.gz"
    damaged_file.write_bytes(damaged_file.read_bytes()[:100])
    data = datasets.load(FashionMnist(), tmp_path, Sources(sites=()))
    assert len(data.test_labels) == 10_000
    assert f"{damaged_file} is damaged" in capsys.readouterr().err


SHAPE = {"height": 6, "width": 5, "channels": 3, "classes": 4}


def test_synthetic_data_is_the_same_every_time_and_of_the_shape_asked_for(tmp_path):
    dataset = Synthetic(**SHAPE, train_samples=100, test_samples=20)
    first, second = datasets.load(dataset, tmp_path), datasets.load(dataset, tmp_path)
    assert first.train_images.shape == (100, 6, 5, 3)
    assert first.train_images.dtype == np.uint8
    assert set(first.train_labels) == {0, 1, 2, 3}
    assert np.array_equal(first.train_images, second.train_images)
    assert np.array_equal(first.test_labels, second.test_labels)


def test_synthetic_data_does_not_depend_on_the_size_of_the_blocks_it_is_made_in(
    tmp_path, monkeypatch
):
    dataset = Synthetic(**SHAPE, train_samples=100, test_samples=20)
    whole = datasets.load(dataset, tmp_path)
    monkeypatch.setattr(datasets, "SYNTHETIC_BLOCK_BYTES", 90 * 8)
    assert np.array_equal(whole.test_images, datasets.load(dataset, tmp_path).test_images)


def test_classes_of_synthetic_data_can_be_told_apart(tmp_path):
    data = datasets.load(Synthetic(train_samples=500, test_samples=200), tmp_path)
    means = np.stack([data.train_images[data.train_labels == c].mean(0) for c in range(10)])
    distances = ((data.test_images[:, None].astype(float) - means) ** 2).sum((2, 3, 4))
    assert (distances.argmin(1) == data.test_labels).mean() > 0.99


def test_the_hash_of_data_is_of_every_byte_of_them():
    small = Synthetic(height=8, width=8, train_samples=64, test_samples=16)
    data, again = datasets.load(small, Path()), datasets.load(small, Path())
    assert datasets.digest(data) == datasets.digest(again)
    again.test_labels[-1] += 1
    assert datasets.digest(data) != datasets.digest(again)
    turned = dataclasses.replace(data, train_images=data.train_images.reshape(64, 16, 4, 1))
    assert datasets.digest(data) != datasets.digest(turned)
