"""Data sets: find, verify, load. What comes back is whole and in memory, as NumPy arrays."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import sys
import tempfile
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine import randomness
from engine.config import FashionMnist, Synthetic
from engine.failures import RunFailed

# SHA-256 of what is inside the .gz: how it was compressed differs from source to source.
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
FASHION_MNIST_SHA256 = {
    TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
IMAGES_HEADER_BYTES, LABELS_HEADER_BYTES = 16, 8  # of the IDX format
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SITES = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
)
SITE_TIMEOUT_S = 20.0
UNREADABLE = (OSError, EOFError, zlib.error, http.client.HTTPException)

SYNTHETIC_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Data:
    """A data set in two splits. Images are uint8 [n, height, width, channels], labels int64 [n]."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Sources:
    """Where files that are not in the cache folder are looked for, in this order."""

    folder: Path = DEBIAN_FOLDER
    sites: Sequence[str] = SITES
    timeout_s: float = SITE_TIMEOUT_S


class Unusable(Exception):
    """A source did not give the file; the message says why."""


def load(dataset: FashionMnist | Synthetic, data_dir: Path, sources: Sources | None = None) -> Data:
    """The data set's arrays; raise `RunFailed` if its files are missing.

    `data_dir` is where downloads are kept for the next run.
    """
    if isinstance(dataset, Synthetic):
        return _synthetic(dataset)
    cache = data_dir / "fashion-mnist"
    return _fashion_mnist(cache, sources or Sources())


def digest(data: Data) -> str:
    """SHA-256 of all that is trained and validated on."""
    found = hashlib.sha256()
    for array in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        found.update(str((array.dtype, array.shape)).encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _fashion_mnist(cache: Path, sources: Sources) -> Data:
    return Data(
        _images(_content(TRAIN_IMAGES, cache, sources)),
        _labels(_content(TRAIN_LABELS, cache, sources)),
        _images(_content(TEST_IMAGES, cache, sources)),
        _labels(_content(TEST_LABELS, cache, sources)),
    )


def _images(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8, offset=IMAGES_HEADER_BYTES).reshape(-1, 28, 28, 1)


def _labels(content: bytes) -> NDArray[np.int64]:
    return np.frombuffer(content, np.uint8, offset=LABELS_HEADER_BYTES).astype(np.int64)


def _content(name: str, cache: Path, sources: Sources) -> bytes:
    """The file, uncompressed and verified, from the first source that has it whole."""
    reasons = []
    for folder in (cache, sources.folder):
        try:
            return _from_folder(folder / name)
        except Unusable as error:
            reasons.append(str(error))
    for site in sources.sites:
        try:
            return _downloaded(f"{site}/{name}", cache / name, sources.timeout_s)
        except Unusable as error:
            reasons.append(str(error))
    raise RunFailed("data_missing", _missing(name, cache, reasons))


def _missing(name: str, cache: Path, reasons: list[str]) -> str:
    return (
        f"Fashion-MNIST's {name} was found nowhere ({'; '.join(reasons)}). Install Debian's "
        f"package dataset-fashion-mnist, or put the data set's four .gz files into {cache}."
    )


def _from_folder(path: Path) -> bytes:
    try:
        return _verified(path.name, path.read_bytes())
    except FileNotFoundError:
        raise Unusable(f"not in {path.parent}") from None
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    except Unusable as error:
        print(f"{path} is damaged ({error}); looking elsewhere.", file=sys.stderr)
        raise Unusable(f"{path} is damaged") from None


def _downloaded(url: str, path: Path, timeout_s: float) -> bytes:
    """Fetch, verify and keep one file. `timeout_s` bounds each wait, not the whole."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            compressed = answer.read()
        content = _verified(path.name, compressed)
    except Unusable as error:
        raise Unusable(f"{url} gave a damaged file ({error})") from None
    except UNREADABLE as error:
        raise Unusable(f"{url}: {getattr(error, 'reason', error)}") from None
    _keep(path, compressed)
    return content


def _verified(name: str, compressed: bytes) -> bytes:
    try:
        content = gzip.decompress(compressed)
    except UNREADABLE as error:
        raise Unusable(f"not whole: {error}") from None
    if hashlib.sha256(content).hexdigest() != FASHION_MNIST_SHA256[name]:
        raise Unusable("its SHA-256 is wrong")
    return content


def _keep(path: Path, compressed: bytes) -> None:
    """Put the file in place in one step, so that no run sees half of it.

    A cache that cannot be written costs the next run a download, and this one nothing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        print(f"{path} was not kept: {error.strerror}.", file=sys.stderr)
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(compressed)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        print(f"{path} was not kept: {error.strerror}.", file=sys.stderr)


def _synthetic(dataset: Synthetic) -> Data:
    """Each image is half its class's prototype, half noise of its own; both are uniform."""
    rng = randomness.dataset()
    shape = (dataset.classes, *dataset.shape)
    prototypes = rng.integers(0, 128, shape, dtype=np.uint8)
    train = _samples(dataset.train_samples, prototypes, rng)
    test = _samples(dataset.test_samples, prototypes, rng)
    return Data(*train, *test)


def _samples(
    count: int, prototypes: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    classes, *shape = prototypes.shape
    labels = rng.integers(0, classes, count, dtype=np.int64)
    images = np.empty((count, *shape), np.uint8)
    block = max(1, SYNTHETIC_BLOCK_BYTES // int(np.prod(shape)))
    for start in range(0, count, block):
        of_block = labels[start : start + block]
        noise = rng.integers(0, 128, (len(of_block), *shape), dtype=np.uint8)
        np.add(prototypes[of_block], noise, out=images[start : start + block])
    return images, labels
