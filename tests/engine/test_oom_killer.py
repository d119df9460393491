"""What the kernel says of its out-of-memory killer; a real kill is in test_nothing_lost."""

import pytest

from engine import oom_killer


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Files in place of the kernel's, none of them there yet."""
    for name in ("CGROUPS", "OWN_CGROUP", "WHOLE_HOST", "OWN_SCORE"):
        monkeypatch.setattr(oom_killer, name, tmp_path / name)
    return tmp_path


def test_a_counter_that_cannot_be_read_is_unknown(kernel):
    assert oom_killer.kills() is None
    (kernel / "WHOLE_HOST").write_text("nr_free_pages 7\n")
    assert oom_killer.kills() is None
    oom_killer.come_first()
    assert not (kernel / "OWN_SCORE").exists()


def test_kills_are_those_of_the_own_control_group_where_it_counts_them(kernel):
    (kernel / "WHOLE_HOST").write_text("nr_free_pages 7\noom_kill 40\n")
    (kernel / "OWN_CGROUP").write_text("4:memory:/old\n0::/user/me\n")
    assert oom_killer.kills() == 40
    (kernel / "CGROUPS" / "user" / "me").mkdir(parents=True)
    (kernel / "CGROUPS" / "user" / "me" / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert oom_killer.kills() == 2


def test_a_score_that_is_higher_already_stays(kernel):
    for before, after in (("0", "500"), ("900", "900")):
        (kernel / "OWN_SCORE").write_text(before)
        oom_killer.come_first()
        assert (kernel / "OWN_SCORE").read_text() == after
