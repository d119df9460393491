"""What each metric is called, in which unit, and which way is better."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """`best` is None where neither more nor less is better by itself."""

    title: str
    unit: str
    best: Literal["max", "min"] | None


METRICS = {
    "train_loss": Metric("Training loss", "", "min"),
    "train_accuracy": Metric("Training accuracy", "%", "max"),
    "validation_loss": Metric("Validation loss", "", "min"),
    "validation_accuracy": Metric("Validation accuracy", "%", "max"),
    "learning_rate": Metric("Learning rate", "", None),
    "epoch_s": Metric("Time per epoch", "s", "min"),
    "samples_per_s": Metric("Throughput", "samples/s", "max"),
    "compiles": Metric("Compiles", "", None),
    "step_loss": Metric("Loss by step", "", "min"),
}


def describe(key: str) -> Metric:
    """A metric nobody described keeps its key as its title, and has no better end."""
    return METRICS.get(key, Metric(key.replace("_", " ").capitalize(), "", None))


def best(key: str, low: float | None, high: float | None) -> float | None:
    """The better end of a series that ran from `low` to `high`, if it has one."""
    return {"max": high, "min": low, None: None}[describe(key).best]
