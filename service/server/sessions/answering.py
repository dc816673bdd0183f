"""Answering measurements of many sessions at once: one transaction, one call of each network."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2o.service.server.errors import Problem
from l2o.service.server.policies.batches import Question, decide
from l2o.service.server.policies.store import PolicyStore
from l2o.service.server.sessions.journal import Journal, Record
from l2o.service.server.sessions.models import Measured, Opening
from l2o.service.server.sessions.progress import Progress
from l2o.service.server.sessions.rows import given_scalars, given_together, tables
from l2o.service.server.sessions.session import Session
from l2o.service.server.sessions.store import SessionStore, expired

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
        given: what was measured of each layer group, `[6, L]`.
        digest: what tells the measurement from others.
        run: fields of the run, once the measurement was noted.
        question: what the policy is asked.
        answer: multipliers and learning rates `[2, L]`, once there are some.
        failure: why there are none.
    """

    measured: Measured
    id: str | None = None
    session: Session | None = None
    progress: Progress | None = None
    given: Array | None = None
    digest: bytes = b""
    run: list[float] | None = None
    question: Question | None = None
    answer: Array | None = None
    failure: Problem | None = None

    def again(self) -> Post:
        """Return it as it came."""
        return self if self.id is None else Post(self.measured, self.id)


@dataclass
class Live:
    """A session in memory, how far it is, and when it expires."""

    session: Session
    progress: Progress
    expires: float


class Answering:
    """Answers posts; those of one session one after the other, in the order in which they came.

    Args:
        store: the sessions.
        policies: the policies.
        count: called with how many decisions were taken.
        journal: where decisions are kept first, if no other process answers: then what is in memory
            is what is on disk, too. None: in the database at once.
    """

    def __init__(
        self,
        store: SessionStore,
        policies: PolicyStore,
        count: Callable[[int], None],
        journal: Journal | None,
    ) -> None:
        self.store, self.policies, self.journal = store, policies, journal
        self._count = count
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._live: OrderedDict[str, Live] = OrderedDict()

    def make(self, opening: Opening) -> Session:
        """Return the session of an opening, with the newest version of its policy."""
        stored = self.policies.find(opening.policy)
        return Session(opening, self.policies.load(stored), stored.key)

    def known(self, opening: str, key: str) -> Session:
        """Return what never changes in a session; runs with the same opening share it."""
        name = key + opening
        found = self._sessions.get(name)
        if found is None:
            policy = self.policies.load(self.policies.find(key))
            found = self._sessions[name] = Session(
                Opening.model_validate_json(opening), policy, key
            )
            _limit(self._sessions)
        else:
            self._sessions.move_to_end(name)
        return found

    def remember(self, name: str, live: Live) -> None:
        """Keep a session in memory that was just opened."""
        self._live[name] = live
        _limit(self._live)

    def forget(self, session: str) -> None:
        """Forget what is in memory of a session."""
        self._live.pop(session, None)

    def __call__(self, posts: Sequence[Post]) -> list[Post | Exception]:
        """Answer posts; what was answered is kept before anybody hears of it."""
        try:
            try:
                self._answer(posts)
            except sqlite3.IntegrityError:  # a session in memory was deleted: look at the disk
                self._live.clear()
                posts = [post.again() for post in posts]
                self._answer(posts)
        except (sqlite3.Error, OSError) as error:
            self._live.clear()
            trouble = Problem(503, f"decisions cannot be kept: {error}", "try again")
            return [trouble] * len(posts)
        except BaseException:
            self._live.clear()  # it may be ahead of what is on disk
            raise
        self._count(sum(post.question is not None for post in posts))
        return [post.failure or post for post in posts]

    def _answer(self, posts: Sequence[Post]) -> None:
        if self.journal is None and any(post.id is not None for post in posts):
            with self.store.database.writing():
                self._answer_rounds(posts)
        else:
            self._answer_rounds(posts)

    def _answer_rounds(self, waiting: Sequence[Post]) -> None:
        while waiting:
            now: list[Post] = []
            later: list[Post] = []
            seen: set[str | None] = set()
            for post in waiting:
                (later if post.id is not None and post.id in seen else now).append(post)
                seen.add(post.id)
            self._answer_round(now)
            waiting = later

    def _answer_round(self, posts: Sequence[Post]) -> None:
        alike: dict[int, list[Post]] = {}
        for post in posts:
            try:
                alike.setdefault(self._find(post).count, []).append(post)
            except Problem as problem:
                post.failure = problem
        for count, found in alike.items():
            given = given_together([post.measured for post in found], count)
            for post, rows in zip(found, given, strict=True):
                try:
                    self._take_in(post, rows)
                except Problem as problem:
                    post.failure = problem
        asked = [post for post in posts if post.run is not None]
        lay_out(asked)
        decide([post.question for post in asked if post.question is not None])
        self._conclude(asked)

    def _find(self, post: Post) -> Session:
        """Look up the session of a post."""
        if post.id is not None:
            live = self._look_up(post.id)
            post.session, post.progress = live.session, live.progress
        assert post.session is not None
        return post.session

    def _take_in(self, post: Post, given: Array | Problem) -> None:
        """Check and note what was measured, or find the answer that was given to it before."""
        session, progress = post.session, post.progress
        assert session is not None
        assert progress is not None
        if isinstance(given, Problem):
            raise given
        scalars = given_scalars(post.measured)
        post.given, post.digest = given, session.digest(post.measured, given, scalars)
        step = post.measured.step
        due = session.next_step(progress.step)
        if step <= progress.step and post.id is not None:
            post.answer = self._given_before(post, session, due)
            return
        if step != due:
            raise out_of_order(step, due)
        post.run = session.note(progress, post.measured, scalars)

    def _look_up(self, name: str) -> Live:
        live = self._live.get(name) if self.journal is not None else None
        if live is None:
            kept = self.store.read(name)
            session = self.known(kept.opening, kept.policy)
            progress = Progress.from_bytes(self.store.newest(name), session.policy)
            live = Live(session, progress, kept.expires)
            self.remember(name, live)
        elif live.expires < time():
            raise expired(name)
        self._live.move_to_end(name)
        live.expires = self.store.prolong(name, live.expires)
        return live

    def _given_before(self, post: Post, session: Session, due: int | None) -> Array:
        assert post.id is not None
        before = self.store.decision(post.id, post.measured.step)
        if before is None:
            raise out_of_order(post.measured.step, due)
        digest, progress = before
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
        return Progress.from_bytes(progress, session.policy).answer

    def _conclude(self, asked: Sequence[Post]) -> None:
        """Take note of what was decided, and keep it."""
        records: list[Record] = []
        for post in asked:
            question, progress = post.question, post.progress
            assert question is not None
            assert progress is not None
            progress.arrays[0], progress.memory = question.multipliers, question.new_state
            post.answer = progress.answer
            if post.id is not None:
                records.append((post.id, post.measured.step, post.digest, progress.to_bytes()))
        if not records:
            return
        if self.journal is not None:
            self.journal.append(records)
            return
        for record in records:
            self.store.advance(*record)


def lay_out(asked: Sequence[Post]) -> None:
    """Make of posts, whose measurements were noted, what their policies are asked."""
    alike: dict[tuple[int, bool], list[Post]] = {}
    for post in asked:
        assert post.session is not None
        alike.setdefault((post.session.count, post.session.sees_both), []).append(post)
    for (_, sees_both), posts in alike.items():
        rows = tables(
            [post.session.rows for post in posts if post.session is not None],
            [post.given for post in posts if post.given is not None],
            [post.progress.arrays for post in posts if post.progress is not None],
            [post.run for post in posts if post.run is not None],
            sees_both,
        )
        for post, table in zip(posts, rows, strict=True):
            assert post.session is not None
            assert post.progress is not None
            post.question = Question(post.session.policy, None, post.progress.memory or {}, table)


def _limit(remembered: OrderedDict[str, Any]) -> None:
    if len(remembered) > MOST_REMEMBERED:
        remembered.popitem(last=False)


def out_of_order(step: int, due: int | None) -> Problem:
    """Return the problem of a step at which no decision is due."""
    remedy = "the training is over" if due is None else f"send what is measured after {due} steps"
    return Problem(409, f"no decision is due at step {step}", remedy, next_step=due)


def told(post: Post) -> dict[str, Any]:
    """Return what a client is told of a decision: an `Answered`, as plain data."""
    session, answer = post.session, post.answer
    assert session is not None
    assert answer is not None
    multipliers, rates = answer.tolist()
    step = post.measured.step
    return {
        "session": post.id,
        "step": step,
        "multipliers": multipliers,
        "learning_rates": rates,
        "next_step": session.next_step(step),
        "state": None,
    }
