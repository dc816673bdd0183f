"""Small versions of `l2o speed service` and `l2o study service`; examples against a server."""

import asyncio

import numpy as np

from l2o.service.load import speed
from l2o.service.load.kills import kill_at_random
from l2o.service.load.process import ServerProcess
from l2o.service.load.sessions import run_live
from l2o.service.load.study import ServiceStudy


def test_live_sessions_are_all_answered(tmp_path):
    with ServerProcess(tmp_path) as server:
        live = asyncio.run(run_live(server.port, sessions=20, groups=8, rounds=1, warm_up=1))
        assert not live.failures
        assert len(live.seconds) == 20
        assert server.resident > 0
        assert server.cpu_seconds > 0
        assert server.stop() == 0


def test_decided_together_is_decided_alone():
    alone, together = speed.decided_alone_and_together(groups=5, repeats=1)
    assert together.same
    assert np.isfinite(alone.per_second)


def test_a_server_that_is_killed_loses_nothing(tmp_path):
    found = kill_at_random(tmp_path, kills=1, sessions=3, trainings=1, seed=0)
    assert found.kills == 1
    assert found.decisions > 3
    assert found.steps > 0
    lost = found.wrong, found.lost_steps, found.other_multipliers, found.lost_decisions
    assert lost == (0, 0, 0, 0)
    assert found.database == "ok"


def test_a_server_is_filled_with_sessions_and_jobs():
    found = ServiceStudy(kills=0, requests=0, sessions=4, jobs=4).answer()
    assert (found.filled.count, found.queued.count) == (4, 4)
    for filled in (found.filled, found.queued):
        assert 0 < filled.before_mib <= filled.after_mib + 50
        assert filled.database_mib > 0
