"""Stacked environments in worker processes: one torch thread each, seeds as if they were one."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from l2o.envs.runtime.interrupts import check_interrupts
from l2o.envs.runtime.workers import PATIENCE, prepare_worker
from l2o.envs.stacked import StackedFineTuneEnv

Make = Callable[[int], StackedFineTuneEnv]
"""Number of environments -> a stacked environment; picklable."""


class LocalShard:
    """A stacked environment in this process.

    Args:
        make: makes the environment.
        count: environments of this shard.
    """

    def __init__(self, make: Make, count: int) -> None:
        self.environment = make(count)
        if self.environment.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError("stable-baselines3 needs autoreset_mode='SameStep'")
        self._answer: Any = None

    def send(self, command: str, argument: Any) -> None:
        """Do what a command says; `receive` returns the result."""
        self._answer = getattr(self, command)(argument)

    def receive(self) -> Any:
        """Return the newest result."""
        return self._answer

    def spaces(self, _: Any) -> tuple[Any, Any]:
        """Return the spaces of one environment."""
        single = self.environment
        return single.single_observation_space, single.single_action_space

    def reset(self, seeds: list[int | None]) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
        """Reset all; return observations and infos."""
        observation, _ = self.environment.reset(seed=seeds)
        infos = self.environment.reset_infos
        return observation, [infos[number] for number in range(self.environment.num_envs)]

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, list[dict[str, Any]]]:
        """Step all; return observations, rewards, ends and infos as stable-baselines3 has them."""
        observation, rewards, ended, infos = self.environment.step_each(actions)
        told = [_sb3_info(infos[number]) for number in range(self.environment.num_envs)]
        return observation, rewards.astype(np.float32), ended, told

    def attribute(self, name: str) -> Any:
        """Return an attribute of what all environments share."""
        return getattr(self.environment, name)

    def close(self, _: Any = None) -> None:
        """Let go of the environment."""
        self.environment.close()


class RemoteShard:
    """A stacked environment in a process of its own, started by a fork server.

    Args:
        make: makes the environment, there.
        count: environments of this shard.
    """

    def __init__(self, make: Make, count: int) -> None:
        context = get_context("forkserver")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, count), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, command: str, argument: Any) -> None:
        """Begin what a command says; `receive` tells if the process has died."""
        with suppress(BrokenPipeError):
            self._pipe.send((command, argument))

    def receive(self) -> Any:
        """Wait for the result.

        Raises:
            ValueError: what the environment refused.
            RuntimeError: any other failure there; or the process has died.
            KeyboardInterrupt: Ctrl-C was noted (`deferred_interrupts`).
        """
        try:
            while not self._pipe.poll(PATIENCE):
                check_interrupts()
            answer, error = self._pipe.recv()
        except (EOFError, ConnectionResetError) as ended:
            check_interrupts()  # a terminal's Ctrl-C goes to workers that are just starting, too
            raise RuntimeError("a worker process of stacked fine-tunes has died") from ended
        if isinstance(error, ValueError):
            raise error
        if error is not None:
            raise RuntimeError(f"a worker process of stacked fine-tunes failed:\n{error}")
        return answer

    def close(self) -> None:
        """End the process at once, whatever it does: nothing in it is to be kept."""
        self._process.terminate()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, make: Make, count: int) -> None:
    prepare_worker()
    shard: LocalShard | None = None
    while True:
        try:
            command, argument = pipe.recv()
        except EOFError:
            return
        try:
            shard = shard or LocalShard(make, count)
            shard.send(command, argument)
            pipe.send((shard.receive(), None))
        except ValueError as error:
            pipe.send((None, ValueError(str(error))))
        except Exception:  # told to the parent, which raises
            pipe.send((None, traceback.format_exc()))


def _sb3_info(info: dict[str, Any]) -> dict[str, Any]:
    """Return an info with the episode's end where stable-baselines3 looks for it."""
    if "final_obs" not in info:
        return info
    return {
        **info["final_info"],
        "terminal_observation": info["final_obs"],
        "TimeLimit.truncated": False,
    }
