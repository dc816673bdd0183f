"""Ray Tune's populations, which wait for each other without waiting for what has ended."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.schedulers.pb2 import PB2


class Released:
    """Lets a synchronous population go on when the last one that it waits for ends.

    Ray Tune compares a population's members when a report comes in. A trial that fails or ends is
    none any more and reports nothing, so that where it was the last one of a round all others stay
    paused for good. Here a report of one of those is told again then.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> Any:
        """Compare the population, less those that have ended."""
        for each in tune_controller.get_live_trials():
            if each.is_finished():  # Ray Tune counts those that failed among the live ones
                self._count_out(each)
        decision = super().on_trial_result(tune_controller, trial, result)  # type: ignore[misc]
        self._move_on(tune_controller)
        return decision

    def _move_on(self, tune_controller: Any, ended: Any = None) -> None:
        """Set the next comparison ahead of all members.

        Where reports come at other times than multiples of the interval, Ray Tune may set it to the
        time that all have reached, and then resumes none.
        """
        own: Any = self
        times = [
            own._trial_state[each].last_train_time
            for each in tune_controller.get_live_trials()
            if not each.is_finished() and each is not ended
        ]
        if own._synch and times and min(times) >= own._next_perturbation_sync:
            own._next_perturbation_sync = max(times) + own._perturbation_interval

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
        """Count out a trial that has ended."""
        super().on_trial_complete(tune_controller, trial, result)  # type: ignore[misc]
        self._release(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Count out a trial that has failed."""
        super().on_trial_error(tune_controller, trial)  # type: ignore[misc]
        self._release(tune_controller, trial)

    def _count_out(self, trial: Any) -> None:
        """Give a trial no place among the best or the worst, and let nobody wait for it."""
        own: Any = self
        if (state := own._trial_state.get(trial)) is not None:
            state.last_score, state.last_train_time = None, own._next_perturbation_sync

    def _release(self, tune_controller: Any, trial: Any) -> None:
        own: Any = self
        if not own._synch:
            return
        self._count_out(trial)
        others = [each for each in tune_controller.get_live_trials() if each is not trial]
        waiting = [each for each in others if not each.is_finished()]
        if not waiting or not all(self._waits(each) for each in waiting):
            return
        last = waiting[-1]
        own.on_trial_result(tune_controller, last, own._trial_state[last].last_result)
        self._move_on(tune_controller, ended=trial)

    def _waits(self, trial: Any) -> bool:
        own: Any = self
        reached = own._trial_state[trial].last_train_time >= own._next_perturbation_sync
        return bool(reached and trial.status == Trial.PAUSED)


class Population(Released, PopulationBasedTraining):
    """Population-based training (Jaderberg et al., 2017), by Ray Tune."""


class BanditPopulation(Released, PB2):
    """Population-based bandits (Parker-Holder et al., NeurIPS 2020), by Ray Tune."""
