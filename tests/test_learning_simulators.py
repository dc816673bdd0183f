"""Learning to simulate: trials, the environment, searches, runs that go on, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from commands import run
from gymnasium.utils.env_checker import check_env
from simulator_cases import ALL, DIGITS, SMALL, SPACE, TINY, WORDS

import l2o.envs  # noqa: F401  # registers the environment
from l2o.benchmarks.studies.ranges import RangesStudy, ranges_of
from l2o.configs.choice import PolicyChoice
from l2o.configs.load import load_config
from l2o.configs.schema import Named
from l2o.envs.runtime.executor import Here
from l2o.envs.simulators import SIMULATORS
from l2o.envs.simulators.distributions import Uniform
from l2o.envs.simulators.faults import RendererDiedError
from l2o.envs.simulators.learning.environment import SimulatorEnv
from l2o.envs.simulators.learning.setting import Setting, Trial
from l2o.envs.simulators.learning.trials import draw_task, run_trials
from l2o.envs.tasks import DigitsFamily
from l2o.policies.common.checkpoint import load_checkpoint
from l2o.policies.reinforce.simulators import SEARCHES, Tried
from l2o.policies.reinforce.simulators.best import BestOf
from l2o.policies.reinforce.simulators.train import FIELDS, learn_simulator

# --- trials


def test_stacked_trials_are_those_run_one_by_one():
    trials = [Trial(i, ALL, seed=i, splits=("target_test",)) for i in range(2)]
    with Here() as executor:
        together = list(run_trials(SMALL, trials, executor))
        alone = Setting(DIGITS, finetuning=TINY, images=40, stacked=False)
        single = list(run_trials(alone, trials, executor))
    for one, other in zip(together, single, strict=True):
        assert one.error == other.error == ""
        assert one.reward == pytest.approx(other.reward, abs=1e-6)
        assert one.scores["target_test"] == pytest.approx(other.scores["target_test"], abs=1e-4)
        assert 0 <= one.reward <= 1
        assert one.drawing > 0
        assert one.training > 0
    assert together[0].reward == next(run_trials(SMALL, trials[:1], Here())).reward


def test_a_trial_trains_on_its_own_images_and_none_that_score():
    task = draw_task(SMALL, Trial(0, {"ground": "stripes"}, seed=5))
    base = SMALL.base_task
    assert len(task.source_train) == 40
    assert task.target_validation is base.target_validation
    assert task.source_validation is base.source_validation
    other = draw_task(SMALL, Trial(0, {"ground": "stripes"}, seed=6))
    assert not torch.equal(task.source_train.images, other.source_train.images)
    judged = draw_task(SMALL, Trial(0, ALL, seed=5, judged_on={"rotation": 0.0}))
    assert len(judged.source_validation) == 20


@pytest.mark.parametrize("reward", ["snd", "dev"])
def test_label_free_rewards_look_at_no_label_of_real_images(reward):
    setting = Setting(DIGITS, finetuning=TINY, images=40, validation_images=20, reward=reward)
    (before,) = run_trials(setting, [Trial(0, ALL, 0)], Here())
    assert np.isfinite(before.reward)
    labels = setting.base_task.target_validation.labels
    kept = labels.clone()
    try:
        labels.copy_((labels + 1) % 10)
        (after,) = run_trials(setting, [Trial(0, ALL, 0)], Here())
    finally:
        labels.copy_(kept)
    assert after.reward == before.reward


def test_what_cannot_be_drawn_or_trained_ends_no_search(monkeypatch):
    simulator = SIMULATORS["digits"]
    plain = simulator.draw
    died = []

    def draw(self, point, label, generator):
        if point["noise"] > 0.2:
            died.append(1)
            raise RendererDiedError("the renderer ended with signal 9")
        if point["blur"] > 1.5:
            image = np.full((self.size, self.size, 3), np.nan)
            return image, np.ones((self.size, self.size))
        if point["shear"] > 0.7:
            return np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)
        return plain(self, point, label, generator)

    monkeypatch.setattr(simulator, "draw", draw)
    asked = [{"noise": 0.3}, {"blur": 2.0}, {"shear": 0.8}, {"rotation": 99}, {}]
    with Here() as executor:
        found = list(run_trials(SMALL, [Trial(i, psi, i) for i, psi in enumerate(asked)], executor))
    errors = [result.error for result in found]
    assert "signal 9; tried 3 times" in errors[0]
    assert len(died) == 3
    assert "holds NaN" in errors[1]
    assert "shows nothing" in errors[2]
    assert "rotation=99" in errors[3]
    assert errors[4] == ""
    assert [np.isnan(result.reward) for result in found] == [True] * 4 + [False]
    wild = replace(SMALL.base_task, base_lr=1e8)
    monkeypatch.setattr(Setting, "base_task", wild)
    (diverged,) = run_trials(SMALL, [Trial(0, {}, 0)], Here())
    assert diverged.error == "the fine-tune diverged"


def test_a_setting_is_checked_before_any_work():
    with pytest.raises(ValueError, match=r"'shapes' has no simulator to learn"):
        Setting(Named(name="shapes")).check()
    with pytest.raises(ValueError, match=r"'accurcy'.*'accuracy'"):
        Setting(DIGITS, reward="accurcy").check()
    with pytest.raises(ValueError, match=r"'cosin'.*'cosine'"):
        Setting(DIGITS, choice=PolicyChoice(schedule="cosin")).check()


# --- the environment


def test_the_environment_is_one_of_gymnasium():
    env = gymnasium.make("l2o/Simulator-v0", task=DIGITS, finetuning=TINY.model_dump(), images=20)
    check_env(env.unwrapped, skip_render_check=True)
    plain = env.unwrapped
    assert isinstance(plain, SimulatorEnv)
    env.reset(options={"seed": 3})
    seen, reward, ended, cut, info = env.step(env.action_space.sample())
    assert (ended, cut, seen.tolist()) == (True, False, [pytest.approx(reward)])
    assert info["distribution"]["kind"] == "uniform"
    with pytest.raises(gymnasium.error.ResetNeeded):
        plain.step(np.zeros(plain.actions.width))


# --- searches


@pytest.fixture(params=["reinforce", "ppo", "random", "optuna"])
def search(request):
    return lambda seed=0, **more: SEARCHES[request.param](
        space=SPACE, start=Uniform(SPACE), actions="point", seed=seed, budget=400, batch=8, **more
    )


def towards(goal, noise=0.0):
    """Return what trials are worth whose best point is at `goal`."""
    generator = np.random.default_rng(0)

    def try_(asks):
        points = np.array([[*ask.distribution.psi.values()] for ask in asks])
        worth = -np.square(points - goal).sum(axis=1)
        return Tried(
            worth + noise * generator.standard_normal(len(asks)), np.zeros(len(asks), bool)
        )

    return try_


def test_searches_find_what_is_better(search):
    found = search()
    goal = np.array([0.95, 0.1, 0.9])

    def worth():
        return -np.square(np.array([*found.distribution().psi.values()]) - goal).sum()

    before = worth()
    # Optuna's searcher takes a second for each hundred trials.
    for _ in range(8 if isinstance(found, BestOf) else 25):
        found.iterate(towards(goal, 0.01), 8)
    assert worth() > before / 2


def test_a_search_goes_on_as_if_never_stopped(search):
    goal = np.full(3, 0.7)
    one = search(seed=5)
    for _ in range(3):
        one.iterate(towards(goal), 8)
    other = search(seed=5)
    other.load_state_dict(one.state_dict())
    torchs = torch.get_rng_state()
    for each in (one, other):
        for _ in range(2):
            each.iterate(towards(goal), 8)
    assert one.distribution().psi == pytest.approx(other.distribution().psi)
    assert torch.equal(torchs, torch.get_rng_state())


def test_reinforce_takes_the_step_of_the_paper():
    search = SEARCHES["reinforce"](
        space=SPACE, start=Uniform(SPACE), actions="point", seed=0, budget=8, batch=4, baseline=0.5
    )
    drawn = []
    rewards = np.array([0.1, 0.4, 0.2, 0.9])

    def try_vectors(try_, vectors):
        drawn.append(torch.from_numpy(vectors.copy()))
        return Tried(rewards, np.zeros(4, bool))

    search.try_vectors = try_vectors
    search.iterate(None, 4)
    std = 0.5
    # The first baseline is the first batch's mean, and Adam's first step is a sign.
    slope = ((torch.from_numpy(rewards) - 0.4)[:, None] * drawn[0] / std**2).mean(dim=0)
    assert search.mean.detach().tolist() == pytest.approx((0.1 * slope.sign()).tolist(), abs=1e-6)
    assert search.baseline == pytest.approx(0.4)
    mean = search.mean.detach().clone()
    search.iterate(None, 4)
    deviation = search.log_std.detach().exp()
    assert torch.isfinite(deviation).all()
    assert not torch.equal(mean, search.mean.detach())


def test_a_curriculum_widens_and_learns_no_real_image():
    search = SEARCHES["widening"](
        space=SPACE, start=Uniform(SPACE), actions="ranges", seed=0, budget=60, batch=6, buffer=1
    )
    judged = []

    def try_(asks):
        judged.extend(ask.judged_on for ask in asks)
        return Tried(np.full(len(asks), 0.9), np.zeros(len(asks), bool))

    told = [search.iterate(try_, 6) for _ in range(10)]
    assert all(each is not None for each in judged)
    assert told[-1]["width"] > 0.5
    ends = [search.distribution().ends(name) for name in SPACE]
    assert all(low <= 0.5 <= high for low, high in ends)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch": 1}, "from 2 to the budget"), ({"batch": 999}, "budget of 8"), ({"std": -1}, "std")],
)
def test_impossible_searches_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SEARCHES["reinforce"](
            space=SPACE, start=Uniform(SPACE), actions="point", seed=0, budget=8, **options
        )


# --- runs


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "learned"
    done = run("train", *WORDS, "--out", out)
    assert done.exit_code == 0, done.stderr
    return out


def test_a_run_writes_a_distribution_with_its_card_and_a_report(learned):
    card = json.loads((learned / "simulator.json").read_text())
    assert card["simulator"] == {"name": "digits", "version": SIMULATORS["digits"].version}
    assert card["card"]["trials"] == 6
    scores = card["card"]["scores"]
    assert set(scores) == {"learned", "start", "randomization", "defaults"}
    assert len(scores["learned"]["target_test"]) == 1
    # Equal distributions score alike: all are fine-tuned from the same seeds.
    assert scores["start"]["target_test"] == scores["randomization"]["target_test"]
    page = (learned / "report.html").read_text()
    for said in ("Images before", "Images after", "Parameters over learning", "randomization"):
        assert said in page
    again = run("report", learned)
    assert again.exit_code == 0, again.stderr
    assert (learned / "report.html").read_text() == page
    rows = [json.loads(line) for line in (learned / "metrics.jsonl").read_text().splitlines()]
    assert [row["trials"] for row in rows] == [0, 2, 4, 6]


def test_simulate_and_the_task_take_what_was_learned(learned, tmp_path):
    done = run(
        "simulate",
        "digits",
        f"distribution={learned}",
        "images=10",
        "workers=1",
        "--out",
        tmp_path / "r",
    )
    assert done.exit_code == 0, done.stderr
    both = run(
        "simulate", "digits", f"distribution={learned}", "psi.noise=0.1", "--out", tmp_path / "b"
    )
    assert both.exit_code == 2
    assert "beside psi" in both.stderr
    family = DigitsFamily(split="train", networks=1, width=4, pretrain_steps=40, psi=str(learned))
    task = family.sample(0)
    assert task.source_train.images.shape[1:] == (3, 16, 16)
    with pytest.raises(ValueError, match="leave classes at 10"):
        DigitsFamily(psi={}, classes=5)


def test_a_killed_run_goes_on_to_the_same_end(learned, tmp_path, monkeypatch):
    config = load_config("train", learned / "config.yaml")
    out = tmp_path / "killed"
    asked = []

    class KilledError(Exception):
        pass

    from l2o.policies.reinforce.simulators import train as module

    def killed(setting, trials, executor):
        asked.append(len(trials))
        if len(asked) == 3:
            raise KilledError
        return run_trials(setting, trials, executor)

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_trials", killed)
        with pytest.raises(KilledError):
            learn_simulator(config, out, progress=False)
    assert load_checkpoint(out, fields=FIELDS)["trials"] == 4
    learn_simulator(config, out, resume=True, progress=False)
    mine, whole = (json.loads((f / "simulator.json").read_text()) for f in (out, learned))
    assert mine["distribution"] == whole["distribution"]
    assert mine["card"]["scores"] == whole["card"]["scores"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search.name=reinforc"], "Did you mean 'reinforce'"),
        (["task.name=shapes", "task.options={}"], "no simulator to learn"),
        (["start={kind: uniform, ranges: {noise: [0, 9]}}"], "noise=9"),
        (["reward=acuracy"], "'accuracy'"),
        (["start=nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path, words, message):
    done = run("train", *WORDS, *words, "--out", tmp_path / "none")
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "none" / "metrics.jsonl").exists()


def test_a_search_that_nothing_works_in_says_so(tmp_path, monkeypatch):
    blank = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)
    monkeypatch.setattr(SIMULATORS["digits"], "draw", lambda *given: blank)
    config = load_config("train", WORDS[0], WORDS[1:])
    with pytest.raises(ValueError, match=r"all 2 trials of the first iteration failed.*nothing"):
        learn_simulator(config, Path(tmp_path / "none"), progress=False)


def test_the_ablation_of_ranges_varies_what_a_row_says(tmp_path):
    study = RangesStudy(config=WORDS[0], overrides=tuple(WORDS[1:]), seeds=2, out=tmp_path / "kept")
    rows = study.plan()
    assert len(rows) == 2 + 2 * len(SIMULATORS["digits"].parameters)
    config, setting = study.settings(), SMALL
    space = setting.simulator.parameters
    without = ranges_of(setting, config, "without noise")
    assert without.ends("noise") == (space["noise"].default,) * 2
    assert without.ends("rotation") == (0.0, 60.0)
    only = ranges_of(setting, config, "only ground")
    assert only.shares("ground") == pytest.approx(dict.fromkeys(space["ground"].choices, 1 / 3))
    assert only.ends("rotation") == (space["rotation"].default,) * 2
    answer = [study.run(row) for row in rows[:3]]
    table = study.tables(answer)[0]
    assert [cells[0] for cells in table.rows] == rows[:3]
    assert table.rows[0][2].startswith("+0.0")
    with pytest.raises(ValueError, match="learns a policy and has no simulator"):
        RangesStudy(config="demo").settings()
