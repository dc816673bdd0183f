"""Answering measurements of many sessions at once: one transaction, one call of each network."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from l2o.service.server.errors import Problem
from l2o.service.server.policies.batches import Question, decide
from l2o.service.server.policies.store import PolicyStore
from l2o.service.server.sessions.models import Answered, Measured, Opening
from l2o.service.server.sessions.progress import Progress
from l2o.service.server.sessions.session import Session
from l2o.service.server.sessions.store import SessionStore

Array = NDArray[np.float32]
MOST_REMEMBERED = 2_048
"""Sessions whose layer groups are kept in memory, laid out; those of others are read anew."""


@dataclass
class Post:
    """One measurement on its way to an answer.

    Attributes:
        measured: what was measured.
        id: of the session; None where the client keeps its state.
        session: known already where the client keeps its state.
        progress: likewise.
        digest: what tells the measurement from others.
        question: what the policy is asked.
        answer: multipliers and learning rates `[2, L]`, once there are some.
        failure: why there are none.
    """

    measured: Measured
    id: str | None = None
    session: Session | None = None
    progress: Progress | None = None
    digest: bytes = b""
    question: Question | None = None
    answer: Array | None = None
    failure: Exception | None = None


class Answering:
    """Answers posts; those of one session one after the other, in the order in which they came.

    Args:
        store: the sessions.
        policies: the policies.
        count: called with how many decisions were taken.
    """

    def __init__(
        self, store: SessionStore, policies: PolicyStore, count: Callable[[int], None]
    ) -> None:
        self.store, self.policies, self._count = store, policies, count
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def make(self, opening: Opening) -> Session:
        """Return the session of an opening, with the newest version of its policy."""
        stored = self.policies.find(opening.policy)
        return Session(opening, self.policies.load(stored), stored.key)

    def known(self, session: str, opening: str, key: str) -> Session:
        """Return a session that was opened, laid out."""
        found = self._sessions.get(session)
        if found is None:
            policy = self.policies.load(self.policies.find(key))
            found = Session(Opening.model_validate_json(opening), policy, key)
            self._sessions[session] = found
            if len(self._sessions) > MOST_REMEMBERED:
                self._sessions.popitem(last=False)
        else:
            self._sessions.move_to_end(session)
        return found

    def __call__(self, posts: Sequence[Post]) -> list[Post | Exception]:
        """Answer posts; what was answered is kept before anybody hears of it."""
        waiting = list(posts)
        try:
            if any(post.id is not None for post in waiting):
                with self.store.database.writing():
                    self._answer_rounds(waiting)
            else:
                self._answer_rounds(waiting)
        except sqlite3.OperationalError as error:
            trouble = Problem(503, f"the database: {error}", "try again")
            return [trouble] * len(waiting)
        self._count(sum(post.question is not None for post in posts))
        return [post.failure or post for post in posts]

    def _answer_rounds(self, waiting: list[Post]) -> None:
        while waiting:
            now, later, seen = [], [], set()
            for post in waiting:
                (later if post.id is not None and post.id in seen else now).append(post)
                seen.add(post.id)
            self._answer_round(now)
            waiting = later

    def _answer_round(self, posts: Sequence[Post]) -> None:
        for post in posts:
            try:
                self._prepare(post)
            except Problem as problem:
                post.failure = problem
        asked = [post for post in posts if post.question is not None]
        decide([post.question for post in asked if post.question is not None])
        for post in asked:
            self._conclude(post)

    def _prepare(self, post: Post) -> None:
        """Look up the session; make a question of the post, or find the answer given before."""
        if post.id is not None:
            kept = self.store.read(post.id)
            post.session = self.known(post.id, kept.opening, kept.policy)
            post.progress = Progress.from_bytes(kept.progress, post.session.policy)
        session, progress = post.session, post.progress
        assert session is not None
        assert progress is not None
        step = post.measured.step
        due = session.next_step(progress.step)
        post.digest, given, scalars = session.digest(post.measured)
        if step <= progress.step and post.id is not None:
            post.answer = self._given_before(post, due)
            return
        if step != due:
            raise out_of_order(step, due)
        rows = session.observe(progress, post.measured, given, scalars)
        post.question = Question(session.policy, None, progress.memory or {}, rows)

    def _given_before(self, post: Post, due: int | None) -> Array:
        assert post.id is not None
        before = self.store.answer(post.id, post.measured.step)
        if before is None:
            raise out_of_order(post.measured.step, due)
        digest, answer = before
        # The first decision is taken when a session is opened: whoever asks for it again need not
        # know what was measured then.
        if digest != post.digest and post.measured.step:
            raise Problem(
                409,
                f"step {post.measured.step} was answered for other measurements",
                "send the same again, go on with the next step, or, for a run that went back to a "
                "checkpoint, open a new session",
                next_step=due,
            )
        return answer

    def _conclude(self, post: Post) -> None:
        question, progress = post.question, post.progress
        assert question is not None
        assert progress is not None
        assert question.multipliers is not None
        chosen = question.multipliers.numpy()
        with np.errstate(over="ignore"):
            post.answer = np.stack([chosen, chosen * progress.base_lr]).astype(np.float32)
        progress.multipliers, progress.memory = post.answer[0], question.new_state
        if post.id is not None:
            step = post.measured.step
            self.store.advance(post.id, step, post.digest, post.answer, progress.to_bytes())


def out_of_order(step: int, due: int | None) -> Problem:
    """Return the problem of a step at which no decision is due."""
    remedy = "the training is over" if due is None else f"send what is measured after {due} steps"
    return Problem(409, f"no decision is due at step {step}", remedy, next_step=due)


def answered(session: Session, step: int, answer: Array, name: str | None) -> Answered:
    """Return what a client is told of a decision."""
    multipliers, rates = answer.tolist()
    return Answered.model_construct(
        session=name,
        step=step,
        multipliers=multipliers,
        learning_rates=rates,
        next_step=session.next_step(step),
        state=None,
    )
