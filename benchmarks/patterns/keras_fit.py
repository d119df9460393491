"""Keras: `fit` on NumPy arrays, batch 32."""

from __future__ import annotations

import time

import keras

from benchmarks.patterns import CLASSES, HIDDEN, PIXEL_SCALE, Clock, arguments

BATCH_SIZE = 32


def main() -> None:
    data, epochs = arguments()
    train, test = data.train_images / PIXEL_SCALE, data.test_images / PIXEL_SCALE
    clock = Clock()
    model = keras.Sequential(
        [
            keras.layers.Flatten(),
            keras.layers.Dense(HIDDEN, activation="relu"),
            keras.layers.Dense(CLASSES),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    for _ in range(epochs):
        begun = time.perf_counter()
        model.fit(train, data.train_labels, batch_size=BATCH_SIZE, epochs=1, verbose=0)
        steps_s = time.perf_counter() - begun
        clock.epoch(steps_s, model.evaluate(test, data.test_labels, verbose=0)[1])


main()
