"""The schema, as steps that are only ever appended to: an older store walks the rest of them."""

from __future__ import annotations

from sqlite_utils import Database, Migrations

migrations = Migrations("accelboard")


@migrations()
def create_runs(db: Database) -> None:
    db.executescript("""
        CREATE TABLE runs (
            id TEXT PRIMARY KEY,             -- short, sortable by time of submission, URL-safe
            name TEXT NOT NULL,
            notes TEXT NOT NULL DEFAULT '',
            submitted_by TEXT NOT NULL,
            priority INTEGER NOT NULL DEFAULT 0,
            config TEXT NOT NULL,            -- engine.config.RunConfig as JSON
            workload TEXT NOT NULL,
            dataset TEXT NOT NULL,
            framework TEXT NOT NULL,
            accelerator TEXT NOT NULL,
            total_steps INTEGER NOT NULL,
            cloned_from TEXT,                -- the run this one retries or was cloned from
            status TEXT NOT NULL DEFAULT 'PENDING'
                CHECK (status IN ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'STOPPED')),
            failure_kind TEXT,
            failure TEXT,                    -- one sentence, with the way out
            submitted_at REAL NOT NULL,      -- Unix time, seconds, as all times here
            started_at REAL,
            finished_at REAL,
            stop_requested_at REAL,
            stop_requested_by TEXT,
            host TEXT,
            devices TEXT NOT NULL DEFAULT '[]',      -- JSON list of the devices it was given
            environment TEXT NOT NULL DEFAULT '{}',  -- JSON: versions, driver, git commit
            process TEXT,                    -- JSON: the trainer's PID, and what tells it from
                                             -- a later process with the same PID
            phase TEXT,
            step INTEGER NOT NULL DEFAULT 0,
            epoch REAL NOT NULL DEFAULT 0,
            last_event_at REAL,
            last_seq INTEGER NOT NULL DEFAULT 0,         -- number of the last event stored here
            journal_offset INTEGER NOT NULL DEFAULT 0,   -- bytes of the journal stored here
            damaged_lines INTEGER NOT NULL DEFAULT 0,
            archived INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX runs_by_time ON runs (submitted_at DESC, id DESC);
        CREATE INDEX runs_by_status ON runs (status, priority DESC, submitted_at);

        CREATE TABLE tags (
            run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            tag TEXT NOT NULL,
            PRIMARY KEY (run_id, tag)
        ) WITHOUT ROWID;

        CREATE TABLE leases (
            device_id TEXT PRIMARY KEY,      -- a device is one run's at a time
            run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE
        ) WITHOUT ROWID;
    """)


@migrations()
def create_metrics(db: Database) -> None:
    db.executescript("""
        CREATE TABLE series (                -- one metric of one run, and its summary so far
            id INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            key TEXT NOT NULL,
            points INTEGER NOT NULL,
            last REAL,
            min REAL,
            max REAL,
            UNIQUE (run_id, key)
        );
        CREATE TABLE points (
            series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
            step INTEGER NOT NULL,
            epoch REAL NOT NULL,
            at REAL NOT NULL,
            value REAL,                      -- NULL: was not finite
            PRIMARY KEY (series_id, step)
        ) WITHOUT ROWID;

        CREATE VIEW metrics AS
            SELECT run_id, key, step, epoch, at, value
            FROM points JOIN series ON series.id = points.series_id;
    """)


@migrations()
def measure_and_resume(db: Database) -> None:
    db.executescript("""
        ALTER TABLE runs ADD COLUMN facts TEXT NOT NULL DEFAULT '{}';  -- JSON: what the trainer
            -- found out once or summed up: time ledger, FLOPs, peak memory, last checkpoint
        ALTER TABLE runs ADD COLUMN resumed_epoch INTEGER;  -- epochs it took over from
            -- `cloned_from`; NULL: it began at the beginning
        ALTER TABLE runs ADD COLUMN earlier_s REAL NOT NULL DEFAULT 0;  -- seconds that the runs
            -- it took over from had been at it

        CREATE TABLE readings (              -- telemetry, about one a second
            run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            device TEXT NOT NULL,            -- gpu:0, tpu:0; host; trainer
            key TEXT NOT NULL,               -- power_w, memory_bytes, …
            at REAL NOT NULL,
            value REAL NOT NULL,
            PRIMARY KEY (run_id, device, key, at)
        ) WITHOUT ROWID;

        CREATE TABLE tpu_checks (            -- what the TPU's compiler said of a program
            program TEXT NOT NULL,           -- hash of the parts of a config that make the program
            topology TEXT NOT NULL,
            checked_at REAL NOT NULL,
            result TEXT NOT NULL,            -- JSON
            PRIMARY KEY (program, topology)
        ) WITHOUT ROWID;
    """)


@migrations()
def create_studies(db: Database) -> None:
    db.executescript("""
        CREATE TABLE studies (
            id TEXT PRIMARY KEY,             -- as a run's
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            question TEXT NOT NULL,          -- engine.studies.question.Question as JSON
            predicted_s REAL,                -- before it began; NULL: no history to tell from
            submitted_by TEXT NOT NULL,
            submitted_at REAL NOT NULL,
            stopped_at REAL,                 -- NULL too once it is resumed
            stopped_by TEXT,
            stopped_because TEXT             -- one sentence
        );
        CREATE INDEX studies_by_time ON studies (submitted_at DESC, id DESC);

        CREATE TABLE study_runs (            -- (arm, seed, is_warm_up) may have several tries
            study_id TEXT NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,       -- in the study's order of runs
            run_id TEXT NOT NULL UNIQUE REFERENCES runs (id) ON DELETE CASCADE,
            arm TEXT NOT NULL,
            seed INTEGER NOT NULL,
            is_warm_up INTEGER NOT NULL,
            PRIMARY KEY (study_id, position)
        ) WITHOUT ROWID;
    """)
