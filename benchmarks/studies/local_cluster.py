"""A Ray cluster of several nodes on this machine, as studies and measurements need it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

LEAN = {"include_log_monitor": False, "no_monitor": True}
"""No autoscaler, nobody who reads logs: each is a process that has to start."""
STORE = 96 << 20
"""Bytes of a node's object store."""


@contextmanager
def local_cluster(
    nodes: int, cpus: int = 1, others: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """Start a cluster, as `ray.cluster_utils.Cluster` does; it ends with the block.

    Args:
        nodes: how many; those but the head are `cluster.more`.
        cpus: cores that each says it has.
        others: what those but the head are given besides.
    """
    import ray
    from ray.cluster_utils import Cluster

    from l2o.envs.runtime.executor.on_ray.cluster import patient_starts

    node = {"num_cpus": cpus, "object_store_memory": STORE, **LEAN}
    with patient_starts():
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.more = [cluster.add_node(**node, **(others or {})) for _ in range(nodes - 1)]
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def workers_of(cluster: Any) -> list[Any]:
    """Return the processes of a cluster that are at work for a driver."""
    import psutil

    found = []
    for node in [cluster.head_node, *cluster.more]:
        for started in node.all_processes.get("raylet", ()):
            try:
                raylet = psutil.Process(started.process.pid)
                found += [each for each in raylet.children(True) if _works(each)]
            except psutil.Error:
                continue
    return found


def kill_node(node: Any) -> None:
    """Kill all that a node consists of at once, as a machine that is switched off."""
    import psutil

    for started in node.all_processes.values():
        daemon = psutil.Process(started[0].process.pid)
        for each in [*daemon.children(recursive=True), daemon]:
            each.kill()


def _works(process: Any) -> bool:
    import psutil

    try:
        name = str(process.name())
    except psutil.Error:
        return False
    return name.startswith("ray::") and "IDLE" not in name and "Agent" not in name
