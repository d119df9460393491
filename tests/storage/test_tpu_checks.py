"""Results of TPU checks: one for each program and topology, the newest."""

from storage import database, tpu_checks


def test_the_newest_result_for_a_program_and_topology_is_kept(tmp_path):
    database.prepare(tmp_path)
    with database.opened(tmp_path) as db:
        tpu_checks.put(db, "p", "v5e:2x2", 1.0, {"compiles": False})
        tpu_checks.put(db, "p", "v5e:2x2", 2.0, {"compiles": True})
        tpu_checks.put(db, "p", "v4:2x2x1", 3.0, {"compiles": None})
        tpu_checks.put(db, "other", "v5e:2x2", 4.0, {})
        kept = tpu_checks.of_program(db, "p")
        assert kept == [(3.0, {"compiles": None}), (2.0, {"compiles": True})]
        assert tpu_checks.of_program(db, "none") == []
