"""Servers that are killed at random while runs ask them: is any step, or any answer, lost?"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from l2o.control.controller import LRController
from l2o.deciding.bundle import load_bundle
from l2o.deciding.policy import Policy
from l2o.integrations.remote.http import RemoteError
from l2o.integrations.remote.policy import RemotePolicy
from l2o.service.load.process import TOKEN, ServerProcess
from l2o.service.load.sessions import measurement, opening
from l2o.service.server.database import Database
from l2o.service.server.policies.batches import Question, decide
from l2o.service.server.sessions.journal import recover
from l2o.service.server.sessions.models import Measured, Opening
from l2o.service.server.sessions.session import Session
from l2o.service.server.sessions.tables import TABLES

POLICY = "asg-base"


@dataclass
class Killed:
    """What came of it.

    Attributes:
        kills: of the server.
        decisions: answers that sessions got.
        repeated: posts that had to be sent again.
        wrong: answers that are not what a server that is never killed says.
        steps: training steps that were done under `RemotePolicy`.
        lost_steps: steps that were not.
        other_multipliers: decisions of these trainings that the policy here takes otherwise.
        lost_decisions: answers that the database does not have.
        database: what SQLite finds of its file: "ok".
    """

    kills: int = 0
    decisions: int = 0
    repeated: int = 0
    wrong: int = 0
    steps: int = 0
    lost_steps: int = 0
    other_multipliers: int = 0
    lost_decisions: int = 0
    database: str = ""


class Follower(threading.Thread):
    """One session that goes on, decision by decision, until it is told to stop."""

    def __init__(self, server: ServerProcess, seed: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.seed, self.over, self.groups = seed, over, 2 + seed % 7
        self.client = server.client(timeout=5.0)
        self.answers: list[tuple[int, list[float]]] = []
        self.repeated, self.id, self.error = 0, "", ""

    def run(self) -> None:
        """Open the session, and post what is measured, again and again until it is answered."""
        try:
            self._follow()
        except Exception as error:  # whatever it is, it counts as a wrong answer
            self.error = repr(error)

    def _follow(self) -> None:
        answer = self._ask("/v1/sessions", opening(self.groups, self.seed))
        while answer is not None:
            self.id = answer["session"]
            self.answers.append((answer["step"], answer["multipliers"]))
            if self.over.is_set():
                return
            step = answer["next_step"]
            path = f"/v1/sessions/{self.id}/decisions"
            answer = self._ask(path, measurement(self.groups, self.seed + step, step))

    def _ask(self, path: str, body: dict[str, Any]) -> Any:
        while True:
            try:
                return self.client.ask("POST", path, body)
            except RemoteError as error:
                if not error.again:
                    self.error = str(error)
                    return None
                self.repeated += 1
                time.sleep(0.05)

    def wrong(self) -> int:
        """Count answers that are not those of a session that nothing happens to."""
        expected = reference(self.groups, self.seed, [step for step, _ in self.answers])
        given = [multipliers for _, multipliers in self.answers]
        return sum(a != b for a, b in zip(given, expected, strict=True)) + bool(self.error)


def reference(groups: int, seed: int, steps: Sequence[int]) -> list[list[float]]:
    """Return the answers of a session in this process."""
    opened = Opening.model_validate(opening(groups, seed))
    session = Session(opened, load_bundle(POLICY), POLICY)
    progress, measured = session.begin()
    found = []
    for step in steps:
        if step:
            measured = Measured.model_validate(measurement(groups, seed + step, step))
        question = Question(session.policy, None, {}, session.observe(progress, measured))
        decide([question])
        assert question.multipliers is not None
        progress.arrays[0] = question.multipliers
        found.append(question.multipliers.tolist())
    return found


class Trainer(threading.Thread):
    """A small training under `RemotePolicy`, until it is told to stop."""

    def __init__(self, policy: RemotePolicy, seed: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.policy, self.seed, self.over = policy, seed, over
        self.steps, self.done = 0, 0
        self.decisions: list[tuple[float, ...]] = []

    def run(self) -> None:
        """Train."""
        self.steps, self.done, self.decisions = train(self.policy, self.seed, over=self.over)

    def others(self) -> int:
        """Count decisions that the policy here takes otherwise."""
        _, _, expected = train(load_bundle(POLICY), self.seed, steps=self.steps)
        return sum(a != b for a, b in zip(self.decisions, expected, strict=True))


def train(
    policy: Policy, seed: int, *, over: threading.Event | None = None, steps: int = 0
) -> tuple[int, int, list[tuple[float, ...]]]:
    """Train a small network until it is over, or so many steps.

    Returns:
        Steps that the loop did, steps that the controller counted, and the decisions.
    """
    draw = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=draw))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    controller = LRController(policy, optimizer, model, total_steps=10**6, history=10**6)
    inputs = torch.randn(32, 8, generator=draw)
    labels = (inputs[:, 0] > 0).long()
    done = 0
    while done < steps if over is None else not over.is_set():
        loss = nn.functional.cross_entropy(model(inputs), labels)
        controller.observe(loss=loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done += 1
        if over is not None:
            time.sleep(0.005)
    return done, controller.steps, [each.multipliers for each in controller.history]


def kill_at_random(folder: Path, kills: int, sessions: int, trainings: int, seed: int) -> Killed:
    """Kill a server so many times while sessions and trainings go on, and see what became of them.

    Trainings are told to let the same policy decide here at once when the server does not answer,
    so that all their decisions must be those of the policy here.
    """
    draw, over = random.Random(seed), threading.Event()
    found = Killed()
    with ServerProcess(folder, "rate=1e6") as server:
        policies = [
            RemotePolicy(
                server.url, POLICY, token=TOKEN, timeout=2.0, patience=0, cache=folder / "cache"
            )
            for _ in range(trainings)
        ]
        trainers = [Trainer(each, seed, over) for seed, each in enumerate(policies)]
        followers = [Follower(server, 1000 * number, over) for number in range(sessions)]
        for thread in (*trainers, *followers):
            thread.start()
        for _ in range(kills):
            time.sleep(draw.uniform(0.2, 2.0))
            server.kill()
            found.kills += 1
            server.start()
        time.sleep(1.0)
        over.set()
        for thread in (*trainers, *followers):
            thread.join(60.0)
    recover(server.database.parent, Database(server.database, [TABLES]))
    for trainer in trainers:
        found.steps += trainer.steps
        found.lost_steps += abs(trainer.steps - trainer.done)
        found.other_multipliers += trainer.others()
    for follower in followers:
        found.decisions += len(follower.answers)
        found.repeated += follower.repeated
        found.wrong += follower.wrong()
    _look_at(server.database, followers, found)
    return found


def _look_at(database: Path, followers: Sequence[Follower], found: Killed) -> None:
    """See whether the database is whole, and has all that was answered."""
    with closing(sqlite3.connect(database)) as connection:
        (found.database,) = connection.execute("PRAGMA integrity_check").fetchone()
        for follower in followers:
            rows = connection.execute(
                "SELECT step FROM decisions WHERE session = ?", (follower.id,)
            ).fetchall()
            answered = {step for step, _ in follower.answers}
            found.lost_decisions += len(answered - {step for (step,) in rows})
