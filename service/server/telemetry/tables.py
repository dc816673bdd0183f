"""The tables of telemetry."""

TABLES = """
CREATE TABLE IF NOT EXISTS telemetry_runs (
    id TEXT PRIMARY KEY,
    facts TEXT NOT NULL,
    owner TEXT NOT NULL,
    created REAL NOT NULL,
    seen REAL NOT NULL,
    events INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    ended REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS telemetry_by_time ON telemetry_runs (seen);
CREATE TABLE IF NOT EXISTS telemetry_events (
    run TEXT NOT NULL REFERENCES telemetry_runs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID
"""
