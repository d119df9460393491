"""What tests of the engine share."""

import pytest

from engine import settings as settings_module
from engine import supervision
from storage import database


@pytest.fixture
def settings(tmp_path):
    """Of a store whose supervisor lock this test holds, so that nothing is started."""
    database.prepare(tmp_path)
    with supervision.locked(tmp_path):
        yield settings_module.load(tmp_path)


@pytest.fixture
def db(settings):
    with database.opened(settings.store) as db:
        yield db
