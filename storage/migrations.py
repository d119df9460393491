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


@migrations()
def create_views(db: Database) -> None:
    db.executescript("""
        CREATE TABLE views (                 -- a page's state behind a short link
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            page TEXT NOT NULL,              -- the page's path: "", compare, run
            version INTEGER NOT NULL,        -- of the way in which `state` is written
            state TEXT NOT NULL,             -- JSON: parameter of the address -> its values
            created_by TEXT NOT NULL,
            created_at REAL NOT NULL
        );

        CREATE TABLE buckets (               -- of each 128 points of a series, the least and the
            series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,  -- greatest one
            bucket INTEGER NOT NULL,
            low_step INTEGER NOT NULL, low_epoch REAL NOT NULL, low_at REAL NOT NULL,
            low REAL,                        -- NULL: none was finite
            high_step INTEGER NOT NULL, high_epoch REAL NOT NULL, high_at REAL NOT NULL,
            high REAL,
            PRIMARY KEY (series_id, bucket)
        ) WITHOUT ROWID;

        -- What a list filters and sorts by, so that it reads no configs and no environments.
        CREATE INDEX runs_listed ON runs (archived, submitted_at DESC, id DESC, status, framework,
            accelerator, workload, dataset, name);
        CREATE INDEX series_by_key ON series (key, run_id, last, min, max);

        -- For people who write SQL; docs/schema.md tells of them.
        CREATE VIEW run_summary AS
            SELECT id, name, status, workload, dataset, framework, accelerator, submitted_by,
                datetime(submitted_at, 'unixepoch') AS submitted_utc,
                finished_at - started_at AS took_s,
                json_extract(config, '$.epochs') AS epochs,
                json_extract(config, '$.batch_size') AS batch_size,
                json_extract(config, '$.learning_rate') AS learning_rate,
                json_extract(config, '$.optimizer') AS optimizer,
                json_extract(config, '$.precision') AS precision,
                json_extract(config, '$.seed') AS seed,
                (SELECT max FROM series WHERE run_id = runs.id AND key = 'validation_accuracy')
                    AS best_accuracy,
                (SELECT min FROM series WHERE run_id = runs.id AND key = 'validation_loss')
                    AS best_loss,
                coalesce(json_extract(facts, '$.steady_samples_per_s'),
                    (SELECT last FROM series WHERE run_id = runs.id AND key = 'samples_per_s'))
                    AS samples_per_s,
                (SELECT group_concat(tag, ', ') FROM tags WHERE run_id = runs.id) AS tags,
                failure_kind, failure, archived, notes
            FROM runs;
        CREATE VIEW metric_wide AS           -- one row a step, one column a metric
            SELECT run_id, step, max(epoch) AS epoch, max(at) AS at,
                max(CASE key WHEN 'train_loss' THEN value END) AS train_loss,
                max(CASE key WHEN 'train_accuracy' THEN value END) AS train_accuracy,
                max(CASE key WHEN 'validation_loss' THEN value END) AS validation_loss,
                max(CASE key WHEN 'validation_accuracy' THEN value END) AS validation_accuracy,
                max(CASE key WHEN 'learning_rate' THEN value END) AS learning_rate,
                max(CASE key WHEN 'epoch_s' THEN value END) AS epoch_s,
                max(CASE key WHEN 'samples_per_s' THEN value END) AS samples_per_s,
                max(CASE key WHEN 'step_loss' THEN value END) AS step_loss
            FROM metrics GROUP BY run_id, step;
    """)


@migrations()
def watch_references(db: Database) -> None:
    db.executescript("""
        CREATE TABLE reference_jobs (        -- what is repeated to watch its throughput
            name TEXT PRIMARY KEY,
            run_id TEXT NOT NULL,            -- that was named; it may be deleted
            config TEXT NOT NULL,            -- engine.config.RunConfig as JSON
            created_by TEXT NOT NULL,
            created_at REAL NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE reference_runs (
            reference TEXT NOT NULL REFERENCES reference_jobs (name) ON DELETE CASCADE,
            run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            is_judged INTEGER NOT NULL,
            PRIMARY KEY (reference, run_id)
        ) WITHOUT ROWID;
        CREATE TABLE alerts (
            id TEXT PRIMARY KEY,             -- as a run's
            reference TEXT NOT NULL,         -- a name, which may be gone
            run_id TEXT NOT NULL,            -- as it may be, too
            raised_at REAL NOT NULL,
            sentence TEXT NOT NULL,
            changes TEXT NOT NULL,           -- JSON list of [what, before, now]
            sent TEXT,                       -- how sending it went; NULL: nowhere to
            acknowledged_at REAL,
            acknowledged_by TEXT
        );
        ALTER TABLE runs ADD COLUMN cool_down_s REAL NOT NULL DEFAULT 0;  -- that must have passed
            -- since the run before it on this host
    """)


@migrations()
def sum_buckets(db: Database) -> None:
    db.executescript("""
        ALTER TABLE buckets ADD COLUMN points INTEGER NOT NULL DEFAULT 0;  -- how many it is of
        ALTER TABLE buckets ADD COLUMN finite INTEGER NOT NULL DEFAULT 0;  -- and how many of those
            -- had a value that was finite: `sum` is of these, the other sums are of all
        ALTER TABLE buckets ADD COLUMN sum_step REAL NOT NULL DEFAULT 0;
        ALTER TABLE buckets ADD COLUMN sum_epoch REAL NOT NULL DEFAULT 0;
        ALTER TABLE buckets ADD COLUMN sum_at REAL NOT NULL DEFAULT 0;
        ALTER TABLE buckets ADD COLUMN sum REAL NOT NULL DEFAULT 0;

        UPDATE buckets SET points = found.points, finite = found.finite,
            sum_step = found.step, sum_epoch = found.epoch, sum_at = found.at, sum = found.value
        FROM (
            SELECT series_id, place / 128 AS bucket, count(*) AS points, count(value) AS finite,
                total(step) AS step, total(epoch) AS epoch, total(at) AS at, total(value) AS value
            FROM (
                SELECT series_id, step, epoch, at, value,
                    row_number() OVER (PARTITION BY series_id ORDER BY step) - 1 AS place
                FROM points WHERE series_id IN (SELECT series_id FROM buckets)
            ) GROUP BY series_id, bucket
        ) AS found
        WHERE found.series_id = buckets.series_id AND found.bucket = buckets.bucket;
    """)


@migrations()
def key_points_by_one_number(db: Database) -> None:
    db.executescript("""
        DROP VIEW metric_wide;  -- made anew after all migrations
        DROP VIEW metrics;

        CREATE TABLE points_by_number (
            id INTEGER PRIMARY KEY,          -- series.id << 36 | step
            epoch REAL NOT NULL,
            at REAL NOT NULL,
            value REAL                       -- NULL: was not finite
        );
        INSERT INTO points_by_number
            SELECT series_id << 36 | step, epoch, at, value FROM points ORDER BY series_id, step;
        DROP TABLE points;
        ALTER TABLE points_by_number RENAME TO points;

        CREATE TRIGGER points_of_series AFTER DELETE ON series BEGIN
            DELETE FROM points
                WHERE id BETWEEN OLD.id << 36 AND OLD.id << 36 | (1 << 36) - 1;
        END;

        CREATE VIEW metrics AS
            SELECT run_id, key, points.id & (1 << 36) - 1 AS step, epoch, at, value
            FROM series JOIN points
                ON points.id BETWEEN series.id << 36 AND series.id << 36 | (1 << 36) - 1;
    """)
