"""The tables of jobs."""

from __future__ import annotations

TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,
    command TEXT NOT NULL,
    name TEXT NOT NULL,
    priority INTEGER NOT NULL,
    needs TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    attempt INTEGER NOT NULL DEFAULT 0,
    kills INTEGER NOT NULL DEFAULT 0,
    max_resumes INTEGER NOT NULL,
    cancelling INTEGER NOT NULL DEFAULT 0,
    cores TEXT NOT NULL DEFAULT '[]',
    gpus TEXT NOT NULL DEFAULT '[]',
    created REAL NOT NULL,
    started REAL,
    ended REAL
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, priority DESC, number);
CREATE TABLE IF NOT EXISTS job_dependencies (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    needs TEXT NOT NULL,
    PRIMARY KEY (job, needs)
);
"""
