"""Whether the arms of a study can be compared, and if not, why: the verdict that comes first.

Red: the figures are not of the same job, and no speed-up is given. Amber: they are, with a reason
for doubt. Green: nothing was found against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from engine import describe, statistics
from engine.config import DATASET_NAMES, as_now, flatten
from engine.format import counted, in_a_row
from engine.studies import evidence
from engine.studies.evidence import Evidence
from engine.studies.measured import Card
from engine.studies.question import Question
from storage.runs import Run

Level = Literal["green", "amber", "red"]
ENOUGH_REPEATS = statistics.FEWEST
ENOUGH_STEADY_S = 1.0
OTHER_LOAD = 0.2  # of all cores' time, in the median over a run

Known = Mapping[str, Evidence]  # by the id of a run


class Check(NamedTuple):
    level: Level
    sentence: str


class Verdict(NamedTuple):
    """The worst of its checks decides; all are told."""

    level: Level
    checks: tuple[Check, ...]


class Asked(NamedTuple):
    """What a rule judges: some of a question's arms, and all their runs that succeeded."""

    question: Question
    cards: Sequence[Card]
    every: Sequence[Run]
    known: Known


Rule = Callable[[Asked], Check | None]


def of(checks: Iterable[Check]) -> Verdict:
    """The worst first."""
    order = ("red", "amber", "green")
    ordered = sorted(checks, key=lambda check: order.index(check.level))
    return Verdict(ordered[0].level if ordered else "amber", tuple(ordered))


def pair(
    question: Question, baseline: Card, other: Card, found: Mapping[str, Run], known: Known
) -> Verdict:
    """Of one arm against the baseline; of the baseline with itself, what its own runs tell."""
    return overall(question, baseline, [other], found, known)


def overall(
    question: Question,
    baseline: Card,
    others: Sequence[Card],
    found: Mapping[str, Run],
    known: Known,
) -> Verdict:
    """Of each arm against the baseline. What holds for several is said once, of all of them."""
    others = [card for card in others if card.arm != baseline.arm]

    def judged(rule: Rule, cards: Sequence[Card]) -> Check | None:
        every = [found[repeat.run_id] for card in cards for repeat in card.repeats]
        return rule(Asked(question, cards, every, known)) if every else None

    checks = _repeats([baseline, *others])
    for rule in _RULES:
        checks += _grouped(lambda cards, rule=rule: judged(rule, cards), baseline, others)
    return of(checks)


def _grouped(
    judge: Callable[[Sequence[Card]], Check | None], baseline: Card, others: Sequence[Card]
) -> Iterator[Check]:
    """One check for all pairs of a level, where it is one of them together too."""
    pairs = {card.arm: judge([baseline, card]) for card in others} or {"": judge([baseline])}
    told = {arm: check for arm, check in pairs.items() if check}
    for level in sorted({check.level for check in told.values()}):
        alike = [card for card in others if card.arm in told and told[card.arm].level == level]
        together = judge([baseline, *alike])
        if together and together.level == level:
            whole = len(alike) == len(others)
            yield together if whole else _of_arms([card.arm for card in alike], together)
        else:
            yield from (_of_arms([card.arm], told[card.arm]) for card in alike)


def _of_arms(arms: Sequence[str], check: Check) -> Check:
    return Check(check.level, f"{in_a_row(arms)}: {check.sentence}")


def speeds(every: Sequence[Run], known: Known) -> Verdict | None:
    """Of runs that no study planned. Runs that never started say nothing; None with less than two.

    What the configuration asks of the hardware may differ, since that is what is compared; the
    model and its data may not.
    """
    every = [run for run in every if run.started_at is not None]
    if len(every) < 2:
        return None
    job, data = _same_job(every), _data(every)
    checks = [job, _code(every), _device(every), _versions(every), _quiet(every, known)]
    if job.level == "green" and data.level == "red":
        checks.append(data)
    batches = sorted({run.config["batch_size"] for run in every})
    if len(batches) > 1:
        told = in_a_row([f"{size:,}" for size in batches])
        checks.append(
            Check("amber", f"Batch sizes differ: {told}. A larger batch alone makes a run faster.")
        )
    timed = [run for run in every if run.facts.get("steady_s") is not None]
    long_enough = _timed_long_enough(timed) if timed else None
    checks += filter(None, [long_enough, _not_hardware(every), _throttled(every, known)])
    return of(checks)


def _same_job(every: Sequence[Run]) -> Check:
    flat = [
        flatten(run.config) | {"workload.version": str(describe.workload_version(run))}
        for run in every
    ]
    names = [name for name in flat[0] if name.partition(".")[0] in ("workload", "dataset")]
    told = []
    for name in names:
        values = list(dict.fromkeys(of_run.get(name, "none") for of_run in flat))
        if len(values) > 1:
            told.append(f"{name} {', '.join(values[:3])}{', …' if len(values) > 3 else ''}")
    if told:
        return Check("red", f"The runs did not do the same job: {'; '.join(told)}.")
    config = every[0].config
    return Check("green", f"The same job: {config['workload']['name']} on {_dataset(config)}.")


def _dataset(config: Mapping[str, Any]) -> str:
    name = str(config["dataset"]["name"])
    return DATASET_NAMES.get(name, name)


def _repeats(cards: Sequence[Card]) -> list[Check]:
    told: dict[Check, list[str]] = {}
    for card in cards:
        told.setdefault(_repeats_of(card), []).append(card.arm)
    return [_of_arms(arms, check) for check, arms in told.items()]


def _repeats_of(card: Card) -> Check:
    count, enough = len(card.repeats), f"{ENOUGH_REPEATS} or more make an interval."
    if count == 0 and card.waiting and not card.failures:
        return Check("amber", "no measured run is over yet.")
    if count == 0:
        why = f" {card.failures[-1]}" if card.failures else ""
        return Check("red", f"no run of {card.asked} succeeded.{why}")
    failed = f"; {len(card.failures)} failed" if card.failures else ""
    if count < ENOUGH_REPEATS or failed:
        return Check("amber", f"{counted(count, 'repeat')}{failed}; {enough}")
    return Check("green", f"{count} repeats.")


def _timed_long_enough(every: Sequence[Run]) -> Check | None:
    """Steps timed for a moment tell little of a throughput."""
    shortest = min(run.facts.get("steady_s") or 0.0 for run in every)
    if shortest >= ENOUGH_STEADY_S:
        return None
    return Check(
        "amber",
        f"Steady steps were timed for only {shortest:.2g} s in the shortest run; "
        f"{ENOUGH_STEADY_S:g} s or more tell a throughput. Ask for more epochs.",
    )


def _code(every: Sequence[Run]) -> Check:
    states = [run.environment.get("git") for run in every]
    commits = {state["commit"] for state in states if state}
    if len(commits) > 1:
        short = ", ".join(sorted(commit[:10] for commit in commits))
        return Check("red", f"The code differs between runs: commits {short}.")
    if None in states:
        return Check("amber", "Which code ran is not known for every run: no Git checkout.")
    commit = commits.pop()[:10]
    changes = {state.get("changes") if state["dirty"] else "none" for state in states if state}
    if None in changes:
        return Check(
            "amber", f"Files differed from commit {commit} in some runs; how is not known."
        )
    if len(changes) > 1:
        return Check("red", f"The code differs between runs: changes to commit {commit} do.")
    if changes == {"none"}:
        return Check("green", f"The same code: commit {commit}.")
    return Check("green", f"The same code: commit {commit} with the same changes to its files.")


def _data(every: Sequence[Run]) -> Check:
    """Whether each run trained on the same bytes, by the hash of what it had loaded."""
    hashes = [run.facts.get("data_sha256") for run in every]
    known = sorted({one[:10] for one in hashes if one})
    if len(known) > 1:
        return Check("red", f"The data differ between runs: SHA-256 {in_a_row(known)}.")
    if None in hashes:
        return Check(
            "amber", "Whether the data were the same is not known: a run has no hash of its data."
        )
    return Check("green", f"The same data: SHA-256 {known[0]}.")


def _asked_alike(question: Question, every: Sequence[Run]) -> Check:
    """Data, global batch, precision and all else that the study does not vary on purpose."""
    free = {*question.varied(), "seed"}
    free |= {"workload_version"} if "workload" in free else set()
    asked = [_asked(question, run) for run in every]
    differing = {
        name: sorted({str(of_run.get(name)) for of_run in asked})
        for name in asked[0]
        if name not in free and len({str(of_run.get(name)) for of_run in asked}) > 1
    }
    if differing:
        told = "; ".join(f"{name} {in_a_row(values)}" for name, values in differing.items())
        return Check("red", f"The runs were not asked the same: {told}.")
    config = every[0].config
    batch = "" if "batch_size" in free else f", global batch {config['batch_size']:,}"
    precision = "" if "precision" in free else f", {config['precision']}"
    return Check("green", f"The same data set ({_dataset(config)}){batch}{precision}.")


def _asked(question: Question, run: Run) -> dict[str, Any]:
    """With what was usual before a field was there; of weak scaling, each device's batch too."""
    asked = as_now(run.config) | {"workload_version": describe.workload_version(run)}
    if question.is_weak and isinstance(asked["devices"], int):
        asked["batch of a device"] = asked["batch_size"] / asked["devices"]
    return asked


def _device(every: Sequence[Run]) -> Check:
    for run in every:
        kinds = {device.get("accelerator") for device in run.devices}
        if kinds != {run.accelerator}:
            given = ", ".join(sorted(filter(None, kinds))) or "nothing"
            return Check("red", f"Run {run.id} asked for {run.accelerator} and was given {given}.")
    return Check("green", "Each run had the device that it asked for to itself.")


def _model(every: Sequence[Run]) -> Check:
    """Where the same hardware was asked for, it must be the same: by the devices' names."""
    names: dict[str, set[str]] = {}
    for run in every:
        asked = run.config.get("devices", 1)
        place = f"{run.accelerator} {asked if isinstance(asked, list) else ''}"
        names.setdefault(place, set()).update(device["name"] for device in run.devices)
    for found in names.values():
        if len(found) > 1:
            return Check("red", f"The device changed between runs: {in_a_row(sorted(found))}.")
    return Check("green", "The same model of device.")


def _versions(every: Sequence[Run], kind: str = "") -> Check:
    """Of what should not differ: system and driver everywhere, packages within a framework.

    More devices of one host have fewer of its cores' threads each, on purpose.
    """
    shared_out = {"torch.num_threads"} if kind == "scaling" else set()
    differing = [
        name
        for name, of_run in _SHARED.items()
        if len({str(of_run(run.environment)) for run in every}) > 1
    ]
    for framework in sorted({run.framework for run in every}):
        told = [run.environment.get("packages") for run in every if run.framework == framework]
        packages = {str({n: v for n, v in (one or {}).items() if n not in shared_out})
                    for one in told}  # fmt: skip
        if len(packages) > 1:
            differing.append(f"packages of {framework}")
    if differing:
        return Check("amber", f"Versions differ between runs: {', '.join(differing)}.")
    if len({run.framework for run in every}) > 1:
        return Check("green", "The same versions within each framework, and the same drivers.")
    return Check("green", "The same versions and drivers.")


_SHARED: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "Python": lambda environment: environment.get("python"),
    "system": lambda environment: environment.get("platform"),
    "host": lambda environment: environment.get("hostname"),
    "NVIDIA driver": lambda environment: environment.get("nvidia"),
}


def _learned(question: Question, cards: Sequence[Card]) -> Check:
    """Who trains faster to a worse model has not done the same job.

    Where batch or precision is varied on purpose, learning changes with it: amber.
    """
    unknown = [card.arm for card in cards if card.final_accuracy is None]
    if unknown:
        return Check("amber", f"Final accuracy is not known of {in_a_row(unknown)}.")
    known = [card.final_accuracy for card in cards if card.final_accuracy is not None]
    apart, tolerance = max(known) - min(known), question.accuracy_tolerance
    told = in_a_row([f"{100 * accuracy:.1f} %" for accuracy in known])
    if apart <= tolerance:
        return Check("green", f"Final accuracy within {100 * tolerance:.3g} points: {told}.")
    on_purpose = {"batch_size", "precision", "epochs"} & set(question.varied())
    level: Level = "amber" if on_purpose else "red"
    return Check(
        level,
        f"Final accuracies lie {100 * apart:.1f} points apart ({told}); "
        f"{100 * tolerance:.3g} are allowed.",
    )


def _quiet(every: Sequence[Run], known: Known) -> Check:
    """How much of the host others used while the runs trained."""
    loads = [load for run in every if (load := known[run.id].other_load) is not None]
    if len(loads) < len(every):
        return Check(
            "amber", "Whether the host was quiet is not known: some runs have no readings."
        )
    worst = max(loads)
    if worst > OTHER_LOAD:
        return Check(
            "amber",
            f"The host was not quiet: other processes used up to {100 * worst:.0f} % of its cores.",
        )
    return Check("green", f"The host was quiet: others used {100 * worst:.0f} % of its cores.")


def _quiet_before(every: Sequence[Run]) -> Check:
    """How much of the host was used in the rest before each run."""
    shares = [run.facts.get("before", {}).get("host_cpu") for run in every]
    if None in shares:
        return Check(
            "amber",
            "Whether the host was quiet before each run is not known: some began without a rest, "
            "or beside a run on another device. A cool-down of 2 s tells.",
        )
    worst = max(shares)
    told = f"before the runs {100 * worst:.0f} % of the host's cores were in use at most."
    if worst > OTHER_LOAD:
        return Check("amber", f"The host was not at rest: {told}")
    return Check("green", f"The host was at rest: {told}")


def _gpus_before(every: Sequence[Run]) -> Check | None:
    """Whether others were on each run's GPUs before it was; None for runs on no GPU."""
    used = [
        run.facts.get("before", {}).get("gpus", {}).get(device["id"], {})
        for run in every
        for device in run.devices
        if device.get("accelerator") == "gpu"
    ]
    if not used:
        return None
    shares, others = ([use.get(name) for use in used] for name in ("utilisation", "processes"))
    if None in shares or None in others:
        return Check(
            "amber",
            "Whether the GPUs were quiet before each run is not known: their driver did not say.",
        )
    told = (
        f"before the runs {100 * max(shares):.0f} % in use at most, {max(others):.0f} processes "
        "of others on one at most."
    )
    if max(shares) > OTHER_LOAD or max(others):
        return Check("amber", f"The GPUs were not at rest: {told}")
    return Check("green", f"The GPUs were at rest: {told}")


def _throttled(every: Sequence[Run], known: Known) -> Check | None:
    """None where no device tells."""
    if not any(known[run.id].throttle for run in every):
        return None
    for run in every:
        for held in evidence.held_back(known[run.id]):
            return Check("amber", f"{held.device} was throttled in run {run.id}: {held.why}.")
    return Check("green", "No device was throttled.")


def _not_hardware(every: Sequence[Run]) -> Check | None:
    if any(map(describe.virtual_devices, every)):
        return Check("amber", f"Virtual devices are on one CPU: {describe.VIRTUAL}.")
    if any(run.framework == "torch_xla" and run.accelerator == "cpu" for run in every):
        return Check("green", "XLA on a CPU exercises the TPU's code, not its hardware.")
    return None


_RULES: tuple[Rule, ...] = (
    lambda asked: _code(asked.every),
    lambda asked: _asked_alike(asked.question, asked.every),
    lambda asked: _data(asked.every),
    lambda asked: _device(asked.every),
    lambda asked: _model(asked.every),
    lambda asked: _versions(asked.every, asked.question.kind),
    lambda asked: _learned(asked.question, asked.cards),
    lambda asked: _quiet(asked.every, asked.known),
    lambda asked: _quiet_before(asked.every),
    lambda asked: _gpus_before(asked.every),
    lambda asked: _timed_long_enough(asked.every),
    lambda asked: _not_hardware(asked.every),
    lambda asked: _throttled(asked.every, asked.known),
)
