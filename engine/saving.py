"""When a run's state is written to its checkpoint, and what of it is kept in memory until then."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine import checkpoints
from engine.frameworks import Session
from engine.job import Job

CHECKPOINT_SHARE = 0.05  # of a run's time, for writing
KEEPING_SHARE = 0.01  # and for taking what is not written


class Saver:
    """Writes the run's checkpoint at the end of epochs, for no more than a share of its time.

    Very short epochs are left out when writing each would cost more than that share; the last one
    never is. Of one that was left out, the state is kept in memory, for a smaller share, and
    written when the run ends early.
    """

    def __init__(
        self, job: Job, session: Session, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._job, self._session, self._clock = job, session, clock
        self._write_after = self._keep_after = float("-inf")
        self._kept: tuple[int, checkpoints.State] | None = None
        self._has_complained = False

    def take(self, epochs_done: int) -> int | None:
        """Write or keep what there is now; the epoch of what was written."""
        begun = self._clock()
        if epochs_done == self._job.config.epochs or begun >= self._write_after:
            self._kept = None
            is_written = self._write(epochs_done, self._session.state())
            if is_written:
                ended = self._clock()
                self._write_after = ended + (ended - begun) / CHECKPOINT_SHARE
            return epochs_done if is_written else None
        if begun >= self._keep_after:
            self._kept = epochs_done, self._session.state()
            ended = self._clock()
            self._keep_after = ended + (ended - begun) / KEEPING_SHARE
        return None

    def save_kept(self) -> int | None:
        """The epoch, if there was something newer than the file, and it could be written."""
        if self._kept is None:
            return None
        (epochs_done, state), self._kept = self._kept, None
        return epochs_done if self._write(epochs_done, state) else None

    def _write(self, epochs_done: int, state: checkpoints.State) -> bool:
        """False if it could not be written, as on a full disk: the run trains on without."""
        job, path = self._job, checkpoints.path_in(self._job.run_dir)
        about = {"run_id": job.run_id, "config": job.config, "at": time.time()}
        try:
            checkpoints.write(path, state, epoch=epochs_done, **about)
        except checkpoints.NOT_WRITTEN as error:
            if not self._has_complained:
                _say(f"The checkpoint of epoch {epochs_done} was not written: {error}")
            self._has_complained = True
            return False
        self._has_complained = False
        return True

    def export_saved(self) -> None:
        """Write the model as it is in the checkpoint: that of a run that stopped has gone on."""
        path = checkpoints.path_in(self._job.run_dir)
        if not path.exists():
            return
        try:
            self._session.restore(checkpoints.load(path, self._job.config)[1])
        except checkpoints.Unusable as error:
            _say(f"The model was not written: {error}")
            return
        self.export()

    def export(self) -> None:
        """Write the model in its framework's own format; a run does not fail for want of it."""
        try:
            self._session.export(self._job.run_dir)
        except OSError as error:
            _say(f"The model was not written: {error}")


def _say(sentence: str) -> None:
    """One line in the run's log."""
    try:
        print(sentence, flush=True)
    except OSError:
        return  # the disk that holds the log is full: the journal waits for room, too
