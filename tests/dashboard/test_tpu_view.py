"""What a run's page and the form tell of a TPU check."""

import pytest

from dashboard import words
from engine.config import RunConfig
from engine.tpu import program
from engine.tpu.check import TpuCheck
from storage import database, tpu_checks
from tests.dashboard.pages import finished, told, visit
from tests.processes import eventually


def checked(folder, **fields):
    """What a TPU check of the default run found, or of one that differs in these fields."""
    found = {
        **{"program": program.key(RunConfig.parse({})), "topology": "v5e:2x2", "chips": 1},
        **{"precision": "fp32", "compiler": "libtpu 0", "compiles": True, "message": None},
        **{"hbm_bytes": 2**30, "hbm_available_bytes": 2**34, "beside_bytes": 0},
        **{"flops": 5e9, "bytes": 2_000_000},
        **{"bound_s": 2.5e-5, "binds": "compute", "compile_s": 1.0, **fields},
    }
    with database.opened(folder) as db:
        tpu_checks.put(db, found["program"], "v5e:2x2", 100.0, TpuCheck(**found).as_json())


@pytest.mark.parametrize("page", ["run", "new_run"])
def test_a_tpu_check_is_shown_for_every_run_with_the_same_program(here, page):
    checked(here)
    tab = {"id": finished(here, seed=5), "tab": "TPU check"} if page == "run" else {}
    at = visit(page, **tab)
    figures = {metric.label: metric.value for metric in at.metric}
    assert figures["HBM needed, of 16.00 GiB"] == "1.00 GiB"
    assert figures["Step time, at least"] == "25 µs"
    assert (figures["FLOPs a step"], figures["HBM traffic a step"]) == ("5 GFLOP", "2 MB")
    assert words.plain("a bound, not a prediction") in told(at)
    assert "Compiles and fits" in told(at)


def test_a_program_that_compiles_and_does_not_fit_beside_its_data_set_says_so(here):
    checked(here, hbm_bytes=2**34 + 2**33, beside_bytes=2**33)
    at = visit("run", id=finished(here), tab="TPU check")
    assert "Compiles, and does not fit" in told(at)
    held = "8.00 GiB of the HBM are the data set as it was loaded"
    assert words.plain(held) in told(at)


def test_what_the_tpus_compiler_says_is_shown_as_it_is(here):
    checked(here, compiles=False, message="no <b>room</b>", flops=None, bytes=None, bound_s=None,
            binds=None)  # fmt: skip
    at = visit("run", id=finished(here), tab="TPU check")
    assert "no <b>room</b>" in [code.value for code in at.code]
    assert "Does not compile" in told(at)
    assert {metric.label: metric.value for metric in at.metric}["Step time, at least"] == "—"


def test_a_run_that_was_not_checked_says_how(here):
    at = visit("run", id=finished(here), tab="TPU check")
    assert "no TPU is needed" in told(at)
    assert at.button(key="tpu-check").label == "Check for TPU"


def test_a_tpu_check_that_cannot_be_made_says_why_in_a_sentence(here, monkeypatch):
    monkeypatch.setenv("ACCELBOARD_PYTHON_TPU_CHECK", "/nowhere/python")
    at = visit("new_run")
    at.button(key="tpu-check").click().run()
    eventually(lambda: at.run().error)
    assert "is no interpreter" in words.plain(at.error[0].value).replace("\\", "")
    assert not at.button(key="tpu-check").disabled
