"""Runs to show, and pages as scripts that show them: no browser."""

from streamlit.testing.v1 import AppTest

from dashboard import server
from engine.config import RunConfig
from storage import database, metrics, readings, runs
from storage.metrics import Point
from storage.readings import Reading


def create(folder, name="a run", tags=("mine",), **fields):
    config = RunConfig.parse(fields)
    with database.opened(folder) as db:
        return runs.create(
            db,
            name=name,
            config=config.model_dump(mode="json"),
            total_steps=config.total_steps,
            submitted_by="test",
            tags=tags,
        )


def finished(folder, name="a run", devices=None, epoch_s=None, **fields):
    """A run with two epochs of points."""
    run_id = create(folder, name, **fields)
    points = [
        Point(key, step, step / 10, 100.0 + step, value)
        for step, value in ((10, 0.5), (20, 0.8))
        for key in ("train_loss", "validation_accuracy", "samples_per_s")
    ]
    if epoch_s:
        for step in (10, 20):
            points.append(Point("step_loss", step, step / 10, 100.0 + step, 1.0))
            points.append(Point("epoch_s", step, step / 10, 100.0 + step, epoch_s))
    with database.opened(folder) as db:
        runs.claim(db, run_id, host="here", devices=devices or [DEVICE], now=100.0)
        metrics.ingest(db, run_id, points, last_seq=6, offset=60)
        runs.finish(db, run_id, "SUCCEEDED", finished_at=130.0)
    return run_id


DEVICE = {"id": "cpu:0", "name": "A CPU", "accelerator": "cpu", "found_by": "a test"}

GPU = {"id": "gpu:0", "name": "A GPU", "accelerator": "gpu", "found_by": "a test"}


def visit(page="runs", **query):
    at = AppTest.from_file(str(server.NAVIGATION), default_timeout=30)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    if page != "runs":
        at.switch_page(str(server.NAVIGATION.parent / f"{page}.py"))
        if page == "compare":
            at.session_state["compare-drawn"] = {"drawn": True}  # as a browser tells it
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
    assert not at.exception
    return at


def opened(at, menu):
    """The page with that menu open."""
    at.session_state[menu] = True
    return at.run()


def told(at):
    """All that the page says in words."""
    elements = (at.markdown, at.caption, at.error, at.info, at.warning, at.text, at.code)
    spoken = [element.value for kind in elements for element in kind]
    return " ".join([*spoken, *(html.proto.body for html in at.get("html"))])


def zigzag(store, name="zigzag", **fields):
    """A run whose loss goes up and down, with a log."""
    run_id = create(store, name, **fields)
    points = [Point(key, step, step / 10, 100.0 + step, 3.0 + (-1) ** step)
              for step in range(1, 21) for key in ("train_loss", "validation_loss")]  # fmt: skip
    with database.opened(store) as db:
        runs.claim(db, run_id, host="here", devices=[DEVICE], now=100.0)
        metrics.ingest(db, run_id, points, last_seq=20, offset=60)
        readings.add(db, run_id, [Reading("host", "cpu", 101.0, 0.5)])
        runs.finish(db, run_id, "SUCCEEDED", finished_at=130.0)
    folder = store / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "trainer.log").write_text("what it printed")
    return run_id
