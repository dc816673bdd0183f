"""Shared test settings: one torch thread, Ctrl-C heard, seeds, helpers importable, `--quick`."""

import gc
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

# For worker processes too: they import `tiny` by name.
sys.path.insert(0, str(Path(__file__).parent))

import quick

LONGEST = {"test_tutorials", "test_executor_choice", "test_examples", "test_finetune_folder"}
"""Files with single tests that take half a minute and more."""

torch.set_num_threads(1)
# A shell that runs the tests in the background has it ignored, for all programs they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
# On a busy machine a first call takes long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="only the tests that take no time")


def pytest_ignore_collect(collection_path, config):
    """Leave out whole files before they are imported: some import much."""
    if collection_path.suffix == ".py" and config.getoption("quick"):
        return collection_path.stem not in quick.FILES
    return None


def pytest_collection_modifyitems(config, items):
    for item in items:
        # A cluster's processes load torch one after the other: on a busy machine that takes long.
        if _on_ray(item):
            item.add_marker(pytest.mark.timeout(900))
    # Two processes share the tests: what takes longest is not to begin when all else has ended.
    # Each gets one half of the list, so that one has all tests on a cluster: there is one cluster.
    items.sort(key=lambda item: (not _on_ray(item), item.path.stem not in LONGEST))
    if config.getoption("quick"):
        slow = [item for item in items if item.originalname in quick.BUT]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item.originalname not in quick.BUT]


def _on_ray(item):
    return "ray_cluster" in getattr(item, "fixturenames", ()) or "ray]" in item.nodeid


def pytest_collection_finish(session):
    """Leave what is imported by now out of garbage collections: it stays, and it is much."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeds():
    """Let no test depend on which ones ran before it in the same process."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (what libraries draw from)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory):
    """A cluster of two nodes of this machine, which `executor: ray` finds; one for all tests.

    The second has a resource of its name, and a cache folder of its own.
    """
    pytest.importorskip("ray", reason="Ray is not installed: l2o[ray]")
    from l2o.benchmarks.studies.local_cluster import local_cluster

    cache = tmp_path_factory.mktemp("second")
    apart = {"resources": {"second": 1}, "env_vars": {"L2O_CACHE": str(cache)}}
    with local_cluster(2, cpus=2, others=apart) as cluster:
        cluster.cache, (cluster.second,) = cache, cluster.more
        os.environ["RAY_ADDRESS"] = cluster.address
        yield cluster
        del os.environ["RAY_ADDRESS"]
