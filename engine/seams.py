"""Where a run goes on from another: its checkpoint, its points, and a time axis without the gap.

A run that is over stays as it is. The one that resumes it begins with a copy of all that the first
had recorded up to the checkpoint, and the times of these points count as if nothing lay between.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from engine import checkpoints
from engine.job import Job
from storage import metrics, runs
from storage.database import Database, transaction
from storage.runs import Run


def take_over(db: Database, run: Run, job: Job, begun_at: float) -> None:
    """Copy what the run goes on from; doing it again gives the same.

    Raise `checkpoints.Unusable` if the earlier run or its checkpoint is gone or damaged.
    """
    earlier = runs.get(db, run.cloned_from or "")
    if earlier is None or earlier.started_at is None:
        raise checkpoints.Unusable(f"Run {run.cloned_from}, to go on from, is gone. Retry instead.")
    source = checkpoints.path_in(job.run_dir.parent / earlier.id)
    origin = checkpoints.origin_of(source)
    checkpoints.check_fits(origin, job.config)
    _copy(source, checkpoints.path_in(job.run_dir))
    # One that was itself resumed and wrote none of its own has the one that it began with.
    seam_at = origin.at if origin.run_id == earlier.id else earlier.started_at
    at_it_s = seam_at - earlier.started_at + earlier.earlier_s
    with transaction(db):
        metrics.take_over(db, run.id, earlier.id, last_step=origin.step, shift_s=begun_at - seam_at)
        runs.note_earlier(db, run.id, at_it_s)
        runs.note_facts(db, run.id, {"checkpoint": {"epoch": origin.epoch}})


def _copy(source: Path, target: Path) -> None:
    part = target.with_suffix(".part")
    shutil.copyfile(source, part)
    part.replace(target)
