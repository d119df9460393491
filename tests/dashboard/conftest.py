"""What tests of pages share."""

import pytest

from engine import settings as settings_module
from engine import supervision
from storage import database


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A store of its own, whose supervisor lock this test holds, so that nothing is started."""
    monkeypatch.setenv("ACCELBOARD_STORE", str(tmp_path))
    database.prepare(tmp_path)
    with supervision.locked(tmp_path):
        yield tmp_path


@pytest.fixture
def settings(here):
    return settings_module.load(here)
