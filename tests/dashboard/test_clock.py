"""Times as the reader's clock shows them."""

from datetime import UTC, datetime, timedelta

import pytest

from dashboard import clock


def test_a_zone_is_found_by_its_name():
    winter = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert winter.astimezone(clock.zone("Asia/Tokyo")).utcoffset() == timedelta(hours=9)


@pytest.mark.parametrize("unknown", [None, "", "No/Such", "../etc/passwd", "/etc/localtime"])
def test_a_zone_that_is_not_known_is_none(unknown):
    assert clock.zone(unknown) is None


def test_a_table_tells_the_year_where_it_is_not_this_one():
    now = datetime.now()
    assert clock.column_format([now]) == "D MMM, HH:mm:ss"
    assert clock.column_format([]) == "D MMM, HH:mm:ss"
    assert clock.column_format([now, now.replace(year=now.year - 1, day=1)]) == "D MMM YYYY, HH:mm"
