"""The most memory that a process had, without what only measuring it took."""

import numpy as np

from engine.peak_memory import PeakMemory

MIB = 1 << 20


def test_what_is_left_out_does_not_count_and_what_comes_later_does():
    peak = PeakMemory()
    with peak.left_out():
        np.ones(1, np.uint8)  # the mark begins at what is resident now
    before = peak.bytes()
    with peak.left_out():
        large = np.ones(300 * MIB, np.uint8)
        del large
    assert peak.bytes() < before + 100 * MIB
    larger = np.ones(150 * MIB, np.uint8)
    assert peak.bytes() > before + 100 * MIB
    del larger
