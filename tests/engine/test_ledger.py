"""Every second of a run is in one account."""

from engine.ledger import Ledger


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_what_passes_belongs_to_the_account_that_was_switched_to():
    clock = Clock()
    ledger = Ledger(clock=clock)
    clock.now += 1
    ledger.switch("data")
    clock.now += 2
    assert ledger.lap() == 2
    assert ledger.seconds() == {"data": 2, "idle": 1}


def test_what_lies_aside_comes_back_to_the_same_account():
    clock = Clock()
    ledger = Ledger("compute", clock)
    clock.now += 1
    with ledger.aside("checkpoint"):
        clock.now += 4
    clock.now += 1
    assert ledger.seconds() == {"compute": 2, "checkpoint": 4}


def test_moving_seconds_leaves_the_sum_as_it_was():
    clock = Clock()
    ledger = Ledger("compute", clock)
    clock.now += 5
    ledger.move(2, "input_wait")
    ledger.credit("import", 3)
    assert ledger.seconds() == {"import": 3, "input_wait": 2, "compute": 3}
