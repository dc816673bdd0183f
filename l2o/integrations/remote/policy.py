"""A policy that lives on a server; training goes on whatever becomes of it."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor

from l2o.checks import check_number
from l2o.deciding.learned import LearnedPolicy
from l2o.deciding.policy import Policy, State
from l2o.guarding.checked_answers import checked_multipliers
from l2o.guarding.fallback import as_fallback
from l2o.integrations.remote.background import Background
from l2o.integrations.remote.bundles import Bundles
from l2o.integrations.remote.circuit import Circuit
from l2o.integrations.remote.http import Client, RemoteError
from l2o.integrations.remote.tensors import pack, unpack
from l2o.intervals import Interval
from l2o.layers.groups import LayerGroup

logger = logging.getLogger("l2o")
KEPT, MISSED = "remote/multipliers", "remote/missed"
"""Names in a state: the server's last multipliers, and how many answers failed since."""
SETTING_UP = 10.0
"""Seconds that a request may take before training begins."""
_BACKOFF = 0.02


class RemotePolicy(Policy):
    """Asks a server (`l2o serve`) at every decision, and never lets a step wait beyond `timeout`.

    When the server does not answer in time: first the last multipliers stay, for `patience`
    decisions; then the same bundle decides here, which was fetched at the start; where there is
    none, the schedule `fallback` does. After `failures` in a row the server is not waited for at
    all; meanwhile it is looked for in the background, after 1, 2, 4, ... seconds, and once it
    answers it decides again. The state of the policy rides with the controller's, so that nothing
    depends on what a server remembers.

    Args:
        url: of the server.
        policy: NAME, or NAME@VERSION, of one of its policies; NAME is the newest version, in all of
            the run.
        token: for the server; None takes the environment variable L2O_TOKEN.
        timeout: seconds that a decision may wait, with all retries.
        retries: how often a request that failed is sent again within them.
        patience: decisions that the last multipliers stay for.
        failures: in a row, after which the server is not waited for.
        pause: seconds until it is looked for first.
        fallback: name of a schedule, or a policy with signals among this one's; None: none.
        bundle: whether the bundle is fetched, to decide here while the server is away. False: the
            bundle is only looked at, and the schedule decides.
        cache: folder in which bundles are kept.

    Raises:
        ValueError: a URL, an argument or a bundle that cannot be.
        RemoteError: the server is away and the policy was never fetched, or it has no such policy.

    Example:
        >>> policy = RemotePolicy("http://127.0.0.1:8420", "asg-base")  # doctest: +SKIP
        >>> controller = l2o.LRController(policy, optimizer, model)  # doctest: +SKIP
    """

    learned = True

    def __init__(
        self,
        url: str,
        policy: str = "asg-base",
        *,
        token: str | None = None,
        timeout: float = 1.0,
        retries: int = 2,
        patience: int = 3,
        failures: int = 3,
        pause: float = 1.0,
        fallback: str | Policy | None = "cosine",
        bundle: bool = True,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        check_number("timeout", timeout, above=True)
        self.timeout, self.retries, self.patience = float(timeout), retries, patience
        check_number("retries", retries)
        check_number("patience", patience)
        check_number("failures", failures, 1.0)
        check_number("pause", pause, above=True)
        self.client = Client(url, token, timeout)
        self.name, local = Bundles(self.client, cache).get(policy, SETTING_UP)
        self._shape, self._local = local, local if bundle else None
        self.signals, self.interval = local.signals, local.interval
        self.keeps_interval = local.keeps_interval
        self.guidance_actions, self.cautious = local.guidance_actions, local.cautious
        self.fallback = as_fallback(fallback)
        self._columns = self._columns_of(self.fallback)
        self.circuit = Circuit(failures, pause)
        self.counts: Counter[str] = Counter()
        self._worker = Background()
        self._told = self._reason = ""

    def __repr__(self) -> str:
        return f"RemotePolicy({self.client.url!r}, {self.name!r})"

    def initial_state(self, num_layers: int) -> State:
        """Return the policy's first state."""
        return self._shape.initial_state(num_layers)

    def decision_interval(self, total_steps: int | None) -> Interval:
        """Return the policy's interval."""
        return self._shape.decision_interval(total_steps)

    def check(self, groups: Sequence[LayerGroup], total_steps: int | None) -> None:
        """Refuse a run that the policy could not drive."""
        self._shape.check(groups, total_steps)

    def __call__(self, observation: Tensor, state: State) -> tuple[Tensor, State]:
        """Ask the server; without an answer, decide here."""
        own = {name: value for name, value in state.items() if name not in (KEPT, MISSED)}
        answer = self._ask(observation, own)
        if answer is not None:
            chosen, new = answer
            self.counts["server"] += 1
            self._tell("server", "the server decides again")
            return chosen, {**new, KEPT: chosen.clone()}
        return self._decide_here(observation, state, own)

    def _ask(self, observation: Tensor, state: State) -> tuple[Tensor, State] | None:
        """Return the server's answer; None if it has none in time."""
        if not self.circuit.closed:
            if self.circuit.may_try and not self._worker.busy:
                self._worker.begin(self._look)
            return None
        if self._worker.busy:  # with a request that was given up: the server is not heard yet
            self._failed(TimeoutError("the last request is not over yet"))
            return None
        end = time.monotonic() + self.timeout
        try:
            found = self._ask_at_once(observation, state, end)
            if found is None:
                asked = observation.clone()  # the caller may write into it once we have given up
                job = self._worker.begin(lambda: self._request(asked, state, end))
                found = job.wait(end - time.monotonic())
        except Exception as error:  # whatever the server says, the training goes on
            self._failed(error)
            return None
        self.circuit.worked()
        return found

    def _ask_at_once(
        self, observation: Tensor, state: State, end: float
    ) -> tuple[Tensor, State] | None:
        """Ask over a connection that stands, in this thread; None: it takes more than that.

        On such a connection each step has an end. To look up a name and to connect may have none,
        and is for the other thread.
        """
        try:
            return self._request_once(observation, state, end, connect=False)
        except RemoteError as error:
            if error.stale or (error.again and self.retries):
                return None
            raise

    def _request(self, observation: Tensor, state: State, end: float) -> tuple[Tensor, State]:
        for attempt in range(int(self.retries) + 1):
            try:
                return self._request_once(observation, state, end)
            except RemoteError as error:
                wait = _BACKOFF * 2.0**attempt
                if attempt == self.retries or not error.again or time.monotonic() + wait > end:
                    raise
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _request_once(
        self, observation: Tensor, state: State, end: float, connect: bool = True
    ) -> tuple[Tensor, State]:
        path = f"/v1/policies/{quote(self.name, safe='@')}/decisions"
        body: dict[str, Any] = {"observation": pack(observation)}
        body["state"] = {name: pack(value) for name, value in state.items()}
        told = self.client.ask("POST", path, body, end - time.monotonic(), connect)
        try:
            chosen = checked_multipliers(told["multipliers"], len(observation))
            return chosen, {name: unpack(value) for name, value in told["state"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise RemoteError(f"{self.client.url} answers what is no decision: {error}") from error

    def _look(self) -> None:
        """See whether the server is back."""
        try:
            self.client.ask("GET", f"/v1/policies/{quote(self.name, safe='@')}", None, SETTING_UP)
        except Exception:  # it is not
            self.circuit.failed()
        else:
            self.circuit.worked()

    def _failed(self, error: Exception) -> None:
        self.circuit.failed()
        self.counts["failures"] += 1
        self._reason = str(error)

    def _decide_here(self, observation: Tensor, state: State, own: State) -> tuple[Tensor, State]:
        missed = int(state[MISSED]) + 1 if MISSED in state else 1
        kept = state.get(KEPT)
        note: State = {MISSED: torch.tensor(missed)}
        fits = kept is not None and len(kept) == len(observation)
        if kept is not None and fits:
            note[KEPT] = kept
            if missed <= self.patience:
                return self._keep(kept, {**own, **note})
        if self._local is not None:
            self.counts["bundle"] += 1
            self._tell("bundle", "the same policy decides here, until the server is back")
            chosen, new = self._local(observation, own)
            return chosen, {**new, **note}
        if self.fallback is not None and self._columns is not None:
            try:
                chosen, _ = self.fallback(observation[:, self._columns], {})
                self.counts["fallback"] += 1
                self._tell("fallback", f"{self.fallback!r} decides, until the server is back")
                return chosen, {**own, **note}
            except ValueError as error:  # as where the length of the training is not known
                self._reason = str(error)
        if kept is not None and fits:
            return self._keep(kept, {**own, **note})
        raise RemoteError(
            f"{self.client.url} does not answer ({self._reason}), and nothing decides instead; "
            "give RemotePolicy a fallback, or let it fetch the bundle"
        )

    def _keep(self, kept: Tensor, state: State) -> tuple[Tensor, State]:
        self.counts["kept"] += 1
        self._tell("kept", "the last multipliers stay")
        return kept.clone(), state

    def _tell(self, who: str, what: str) -> None:
        """Log who decides, once it is another one."""
        if who == self._told or (who == "server" and not self._told):
            self._told = who
            return
        self._told = who
        logger.warning("l2o: %s; %s", self.client.url if who == "server" else self._reason, what)

    def _columns_of(self, fallback: Policy | None) -> list[int] | None:
        """Return where the fallback's signals are among this policy's; None if some are not."""
        if fallback is None or not set(fallback.signals.names) <= set(self.signals.names):
            return None
        return [self.signals.index(name) for name in fallback.signals.names]

    @property
    def local(self) -> LearnedPolicy | None:
        """The same policy here, if it was fetched."""
        return self._local
