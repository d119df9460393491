"""Finding runs: the query language, filters, sorting, pages and groups."""

import time
from datetime import datetime

import pytest

from engine.config import DATASET_NAMES, FRAMEWORK_NAMES, RunConfig
from storage import database, metrics, run_list, runs, search
from storage.fields import BadQuery, Vocabulary
from storage.metrics import Point
from storage.run_list import Wanted

VOCABULARY = Vocabulary(
    best={"validation_accuracy": "max", "validation_loss": "min", "learning_rate": None},
    aliases={"accuracy": "validation_accuracy"},
    config=("epochs", "learning_rate", "optimizer", "seed"),
    nested=("workload.width",),
    choices={"framework": FRAMEWORK_NAMES, "dataset": DATASET_NAMES},
)
DAY_S = 86_400.0


@pytest.fixture
def db(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        yield db


def create(db, name, values=(), tags=(), now=None, status=None, **config):
    raw = RunConfig.parse(config).model_dump(mode="json")
    run_id = runs.create(
        db, name=name, config=raw, total_steps=10, submitted_by="ann", tags=tags, now=now
    )
    points = [Point("validation_accuracy", i, i / 10, 1.0 + i, v) for i, v in enumerate(values)]
    metrics.ingest(db, run_id, points, last_seq=1, offset=1)
    if status:
        runs.finish(db, run_id, status, finished_at=2.0)
    return run_id


@pytest.fixture
def three(db):
    """Names of runs: old (torch, 0.7 then 0.6), mid (keras, 0.95), new (torch, no points)."""
    now = time.time()
    create(db, "old", [0.7, 0.6], ["Blue"], now - 9 * DAY_S, "SUCCEEDED", framework="torch")
    create(db, "mid", [0.95], ["blue", "x"], now - 2 * DAY_S, "FAILED",
           framework="keras", seed=2, epochs=7)  # fmt: skip
    create(db, "new", (), (), now, framework="torch", seed=3, workload={"name": "convnet"})
    return db


def names(db, query="", sort=run_list.NEWEST, **fields):
    wanted = Wanted(query=query, vocabulary=VOCABULARY, **fields)
    return [run.name for run in run_list.page(db, wanted, sort=sort).runs]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["new", "mid", "old"]),
        ("accuracy > 0.9 and framework = keras", ["mid"]),
        ("framework = pytorch and not framework = TORCH", []),
        ("framework != pytorch or status = pending", ["new", "mid"]),
        ("framework ~ PyTorch", ["new", "old"]),
        ("config.framework = PyTorch", ["new", "old"]),
        ("config.framework != 'Keras/TensorFlow' and framework ~ torch", ["new", "old"]),
        ("dataset = Fashion-MNIST and config.dataset = FASHION_MNIST", ["new", "mid", "old"]),
        ("accuracy > 65% AND framework=TORCH", ["old"]),
        ("last.validation_accuracy < 0.65", ["old"]),
        ("max.validation_accuracy >= 0.7", ["mid", "old"]),
        ("framework = torch and accuracy > 0.5 or status = failed", ["mid", "old"]),
        ("framework = torch and (accuracy > 0.9 or status = pending)", ["new"]),
        ("not accuracy > 0.9", ["new", "old"]),
        ("accuracy = none", ["new"]),
        ("tag = blue", ["mid", "old"]),
        ("tag != blue", ["new"]),
        ("tag ~ lu and name ~ 'OL'", ["old"]),
        ("submitted < 7d", ["old"]),
        ("date > 3d", ["new", "mid"]),
        ("submitted > 2020-01-31", ["new", "mid", "old"]),
        ("submitted = 2020-01-31", []),
        ("epochs = 7", ["mid"]),
        ("seed >= 2 and epochs != 7", ["new"]),
        ("config.seed = 3", ["new"]),
        ("workload = convnet", ["new"]),
        ("optimizer = ADAM and optimizer != true", ["new", "mid", "old"]),
        ("workload.depth = 1 and dataset ~ fashion", ["mid", "old"]),
        ("learning_rate > 0", ["new", "mid", "old"]),
        ("last.learning_rate > 0", []),
        ("progress < 1,000.5 and accuracy < 1,000,000%", ["mid", "old"]),
        ('name = "\'; DROP TABLE runs; --"', []),
        ("user = ann and progress < 0.05", ["new", "mid"]),
        ("took > 0.5s and took < 90min", []),
        ("duration = none", ["new", "mid", "old"]),
        ("config.workload.name = convnet", ["new"]),
    ],
)
def test_a_query_finds(three, query, found):
    assert names(three, query) == found


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("accuraccy > 1", "Unknown field 'accuraccy'. Did you mean 'accuracy'?"),
        ("zzz = 1", "Unknown field 'zzz'. Use a column"),
        ("accuracy > high", "accuracy is compared with a number, got 'high'."),
        ("accuracy > nan", "accuracy is compared with a number, got 'nan'."),
        ("accuracy > 0,9", "accuracy is compared with a number, got '0,9'."),
        ("accuracy > ninety", "Write it as 0.9, 90% or 1e-3."),
        ("took > long", "took is compared with a time, got 'long'. Write it as 90s, 15min or 2h."),
        ("workload.widht = 3", "Unknown field 'workload.widht'. Did you mean 'workload.width'?"),
        ("config.nope.x = 3", "Unknown field 'config.nope.x'. Use a column"),
        ("gpu", "A query compares a field with a value, got 'gpu'. Such as: accuracy > 0.9"),
        ("status in (FAILED)", "got 'in'. Write a comparison for each value, joined by or."),
        ("status = (FAILED or x)", "Expected a value after 'status =', got '('. Write a compari"),
        ("accuracy > 1 && seed = 1", "Expected 'and' or 'or' before '&&'. Write and."),
        ("name !~ x", "This is no operator: '!~ x'. Write not before the comparison."),
        ("accuracy ≥ 1", "got '≥'. Write >=."),
        ("accuracy > 1,2345", "accuracy is compared with a number, got '1,2345'."),
        ("accuracy < 1e999", "accuracy is compared with a number, got '1e999'."),
        ("config.seed >= -inf%", "config.seed is compared with a number, got '-inf%'."),
        ("accuracy", "The query ends where one of = != < <= > >= ~ after 'accuracy' should be."),
        ("accuracy >", "The query ends where a value after accuracy > should be."),
        ("accuracy is 1", "Expected one of = != < <= > >= ~ after 'accuracy', got 'is'."),
        ("status = done", "Unknown status 'done'. Choose one of: PENDING"),
        ('status = ""', "Unknown status ''. Choose one of: PENDING"),
        ("framework = jax", "Unknown framework 'jax'. Choose one of: keras, torch, torch_xla."),
        ("framework > torch", "framework is text, which > cannot compare. Use =, != or ~."),
        ("submitted > soon", "submitted is compared with a date, got 'soon'. Write 2025-01-31"),
        ("submitted > 9999-12-31", "submitted is compared with a date"),
        (f"submitted > {'9' * 1_900}d", "submitted is compared with a date"),
        ("name = \udcff", "A query holds characters that are not Unicode text: 'name = \\udcff'."),
        ("(accuracy > 1", "A bracket is not closed."),
        ("accuracy > 1 epochs = 2", "Expected 'and' or 'or' before 'epochs'."),
        ("and", "Expected a field, got 'and'."),
        ('name = "x', "A quote is not closed: '\"x'."),
        ("accuracy ! 1", "This is no operator: '! 1'."),
        ("(" * 500, "A query may be 20 levels deep at most."),
        ("x" * 10_000, "A query may have 2,000 characters at most, got 10,000."),
        ("config.a'b = 1", "A quote is not closed"),
    ],
)
def test_a_bad_query_says_what_is_wrong_and_the_way_out(three, query, sentence):
    with pytest.raises(BadQuery) as error:
        names(three, query)
    assert sentence in str(error.value)


def test_a_run_of_another_version_is_found_by_its_framework_and_its_own_keys(three):
    three.execute(
        "UPDATE runs SET config = json_set(config, '$.workload.odd', 3) WHERE name = 'mid'"
    )
    assert names(three, "workload.odd = 3") == ["mid"]
    three.execute("UPDATE runs SET framework = 'jax' WHERE name = 'mid'")
    assert names(three, 'framework = "jax"') == names(three, "framework = JAX") == ["mid"]


def test_a_sort_has_one_direction(three):
    with pytest.raises(BadQuery, match="Unknown field '-accuracy'"):
        names(three, sort="--accuracy")


@pytest.mark.parametrize("fields", [{"text": "x" * 60_000}, {"since": f"{'9' * 5_000}d"}])
def test_what_is_too_long_to_be_searched_by_is_said_in_a_sentence(three, fields):
    with pytest.raises(BadQuery, match=r"got 60,000\. Shorten|compared with a date"):
        names(three, **fields)


@pytest.mark.parametrize("day", ["2025-01-31", "20250131", "2025-W05-5", "2025W055"])
def test_a_day_is_one_in_each_way_to_write_it(three, day):
    noon = datetime(2025, 1, 31, 12).timestamp()
    three.execute("UPDATE runs SET submitted_at = ? WHERE name = 'mid'", [noon])
    assert names(three, f"submitted = {day}") == ["mid"]
    assert "mid" in names(three, until=day)


def test_a_number_is_compared_with_no_text_and_a_truth_value_has_no_mean(three):
    three.execute("UPDATE runs SET config = json_set(config, '$.devices', json('[\"cpu:0\"]')) "
                  "WHERE name = 'mid'")  # fmt: skip
    assert names(three, "config.devices > 4") == names(three, "config.optimizer > 4") == []
    assert names(three, "config.devices = 1") == ["new", "old"]
    assert names(three, "config.devices != 1") == ["mid"]
    assert names(three, "config.keep_last_batch = false") == ["new", "mid", "old"]
    found = run_list.groups(
        three, Wanted(vocabulary=VOCABULARY), ["workload"], ["config.keep_last_batch"]
    )
    assert [spread.mean for group in found.groups for spread in group.spreads] == [None, None]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"text": "BLUE"}, ["mid", "old"]),
        ({"text": "blue keras"}, ["mid"]),
        ({"text": "o%d"}, []),
        ({"statuses": ["FAILED", "PENDING"]}, ["new", "mid"]),
        ({"frameworks": ["torch"], "workloads": ["mlp"]}, ["old"]),
        ({"accelerators": ["tpu"]}, []),
        ({"tags": ["blue"]}, ["mid"]),
        ({"tags": ["blue", "x"]}, ["mid"]),
        ({"since": "2020-01-01", "until": "2020-02-01"}, []),
    ],
)
def test_filters_find(three, filters, found):
    assert names(three, **filters) == found


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ("submitted", ["old", "mid", "new"]),
        ("name", ["mid", "new", "old"]),
        ("-accuracy", ["mid", "old", "new"]),
        ("accuracy", ["old", "mid", "new"]),  # unknown comes last either way
        ("-seed", ["new", "mid", "old"]),
    ],
)
def test_runs_are_sorted_by_any_column_metric_or_config_key(three, sort, found):
    assert names(three, sort=sort) == found


def test_pages_follow_each_other_and_know_how_many_there_are(three):
    first, second = (run_list.page(three, Wanted(), limit=2, offset=at) for at in (0, 2))
    assert [run.name for run in first.runs + second.runs] == ["new", "mid", "old"]
    assert (first.total, second.total) == (3, 3)


def test_groups_have_mean_and_spread_over_the_runs_that_have_a_value(db):
    for seed, value in ((1, 0.6), (2, 0.8), (3, None)):
        create(db, "a", [value], framework="torch", seed=seed)
    create(db, "b", [0.5], framework="keras")
    wanted = Wanted(vocabulary=VOCABULARY)
    (torch, keras), total = run_list.groups(
        db, wanted, ["framework"], ["accuracy"], sort="-accuracy"
    )
    assert total == 2
    assert (torch.values, torch.count, keras.values) == (("torch",), 3, ("keras",))
    (spread,) = torch.spreads
    assert (spread.count, spread.mean) == (2, pytest.approx(0.7))
    assert spread.variance == pytest.approx(0.02)
    assert keras.spreads[0].variance is None
    assert [g.count for g in run_list.groups(db, wanted, ["repeats"], ["accuracy"]).groups] == [
        1,
        3,
    ]
    with pytest.raises(BadQuery, match="is no number"):
        run_list.groups(db, wanted, ["framework"], ["name"])


def test_a_query_and_a_group_may_name_more_metrics_than_sqlite_joins_tables(db):
    keys = [f"m{number}" for number in range(90)]
    points = [Point(key, 1, 1.0, 1.0, float(number)) for number, key in enumerate(keys)]
    for name in ("one", "two"):
        metrics.ingest(db, create(db, name), points, last_seq=1, offset=1)
    met = " and ".join(f"{key} >= {number}" for number, key in enumerate(keys))
    assert names(db, met, "-m89") == ["two", "one"]
    assert names(db, f"{met} and max.m88 > 88") == []
    wanted = Wanted(vocabulary=VOCABULARY)
    (group,), _ = run_list.groups(db, wanted, ["framework"], keys)
    assert [spread.mean for spread in group.spreads] == list(map(float, range(90)))


def test_groups_are_by_any_word_sorted_and_say_how_many_there_are(db):
    create(db, "a", [0.6], ["x", "y"], seed=1)
    create(db, "b", [0.8], ["y"], seed=2)
    create(db, "c", [0.9], epochs=7)
    wanted = Wanted(vocabulary=VOCABULARY)

    def found(by, sort, **more):
        groups, total = run_list.groups(db, wanted, [by], ["config.epochs"], sort=sort, **more)
        return [(*group.values, group.count) for group in groups], total

    assert found("tag", "-accuracy") == ([(None, 1), ("y", 2), ("x", 1)], 3)
    assert found("tag", "tag") == ([("x", 1), ("y", 2), (None, 1)], 3)
    assert found("config.epochs", "config.epochs", limit=1) == ([(7, 1)], 2)
    assert found("workload.width", "name") == ([(128, 3)], 1)
    (by_text,), _ = run_list.groups(db, wanted, ["priority"], ["optimizer"])
    assert by_text.spreads[0].mean is None


def test_groups_are_by_several_words_at_once(db):
    for name, framework, tags in (
        ("a", "torch", ["x"]),
        ("b", "torch", ["x", "y"]),
        ("c", "keras", ()),
    ):
        create(db, name, [0.5], tags, framework=framework, seed=len(name))
    wanted = Wanted(vocabulary=VOCABULARY)
    groups, total = run_list.groups(
        db, wanted, ["framework", "tag", "config.seed"], ["accuracy"], sort="tag"
    )
    assert [(*group.values, group.count) for group in groups] == [
        ("torch", "x", 1, 2),
        ("torch", "y", 1, 1),
        ("keras", None, 1, 1),
    ]
    assert total == 3
    assert [group.spreads[0].count for group in groups] == [2, 1, 1]


@pytest.mark.parametrize("value", ["plain", "a 'q\"x", 'two ""', "none", "a and b", None])
def test_what_a_group_has_in_common_finds_its_runs(db, value):
    create(db, "other")
    create(db, "it" if value is None else value, [0.5])
    word, asked = ("accuracy", 0.5) if value is None else ("name", value)
    assert names(db, search.equal(word, asked)) == ["it" if value is None else value]


@pytest.mark.parametrize("key", ["loss (test)", 'a = "b"', "and"])
def test_what_a_group_has_in_common_finds_its_runs_by_a_metric_of_any_name(db, key):
    create(db, "other")
    metrics.add(db, create(db, "it"), [Point(key, 1, 1.0, 1.0, 0.5)])
    assert names(db, search.equal(f"last.{key}", 0.5)) == ["it"]


def test_repeats_of_a_run_are_found_by_its_id(db):
    run_id = create(db, "a", seed=1)
    create(db, "b", seed=2)
    create(db, "c", epochs=7)
    assert sorted(names(db, f"repeats = {run_id}")) == ["a", "b"]
    assert names(db, f"repeats != {run_id}") == ["c"]


def test_a_selection_is_told_in_one_query_and_devices_are_filtered_by_name(db):
    over, waiting = create(db, "a", tags=["x"], status="FAILED"), create(db, "b", tags=["y"])
    device = {"id": "gpu:0", "name": "A GPU"}
    runs.claim(db, waiting, host="here", devices=[device], now=1.0)
    runs.set_archived(db, over, True)
    assert run_list.outline(db, [over, waiting, "gone"]) == (2, 1, 1)
    assert run_list.tags_of(db, [over, waiting]) == ["x", "y"]
    assert run_list.choices(db, "device") == ["A GPU"]
    assert names(db, devices=["A GPU"]) == ["b"]
    assert names(db, devices=["none"]) == []
