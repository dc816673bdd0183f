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
        if "ray_cluster" in getattr(item, "fixturenames", ()) or "ray]" in item.nodeid:
            item.add_marker(pytest.mark.timeout(900))
    # Two processes share the tests: what takes longest is not to begin when all else has ended.
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    if config.getoption("quick"):
        slow = [item for item in items if item.originalname in quick.BUT]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item.originalname not in quick.BUT]


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


def _patiently(start):
    """Start a node of Ray, which gives itself half a minute: too little on a busy machine."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            last = error
    raise last


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory):
    """A cluster of two nodes of this machine, which `executor: ray` finds; one for all tests.

    The second has a resource of its name, and a cache folder of its own.
    """
    pytest.importorskip("ray", reason="Ray is not installed: l2o[ray]")
    # Ray spells it so; a busy machine takes long.
    os.environ["RAY_agent_register_timeout_ms"] = "300000"  # noqa: SIM112
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 96 << 20}
    cluster = _patiently(
        lambda: Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    )
    cluster.cache = tmp_path_factory.mktemp("second")
    apart = {"resources": {"second": 1}, "env_vars": {"L2O_CACHE": str(cluster.cache)}}
    cluster.second = _patiently(lambda: cluster.add_node(**node, **apart))
    os.environ["RAY_ADDRESS"] = cluster.address
    yield cluster
    import ray

    ray.shutdown()
    cluster.shutdown()
    del os.environ["RAY_ADDRESS"]
