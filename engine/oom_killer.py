"""The kernel's out-of-memory killer: how often it has killed here, and whom it takes first."""

from __future__ import annotations

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
WHOLE_HOST = Path("/proc/vmstat")
OWN_SCORE = Path("/proc/self/oom_score_adj")
TRAINERS_SCORE = 500  # of -1000 to 1000; what starts and records trainers has 0


def kills() -> int | None:
    """How many processes it has killed, of this one's control group or else of the host.

    None where the kernel does not say. Only a rise tells anything.
    """
    counts = (_count(path) for path in (*_events_of_own_cgroup(), WHOLE_HOST))
    return next((count for count in counts if count is not None), None)


def come_first() -> None:
    """Have it end this process and its children rather than what records them."""
    try:
        score = max(TRAINERS_SCORE, int(OWN_SCORE.read_text(encoding="ascii")))
        OWN_SCORE.write_text(str(score), encoding="ascii")
    except OSError:
        return  # a system without such scores


def _events_of_own_cgroup() -> list[Path]:
    """Of version 2, whose line has no controllers; its root has no such file."""
    try:
        lines = OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    own = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    return [CGROUPS / path / "memory.events" for path in own]


def _count(path: Path) -> int | None:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
