"""The executor that a config names: which one it is, who asks it, and that it changes no number."""

import json

import pytest
from ablation_cases import TRAIN
from benchmark_cases import config as table
from zero_shot_cases import config as zero_shot

import l2o
from l2o.benchmarks import make_plan, run_benchmark
from l2o.benchmarks.comparisons.ablation.plan import check_run, make_runs
from l2o.benchmarks.comparisons.table.comparison import TABLE
from l2o.benchmarks.comparisons.zero_shot.plan import family_config
from l2o.configs.ablation import AblationConfig
from l2o.configs.load import check_config, config_data
from l2o.configs.schema import BenchmarkConfig, Grid, Named, TrainConfig
from l2o.envs.runtime.executor import Here, Processes
from l2o.envs.runtime.executor.choose import choose_executor
from l2o.policies.train import train

ASKED = []


class Noted(Here):
    """An executor of somebody's own, which notes what it is asked for."""

    def __init__(self, workers, note=""):
        super().__init__(workers)
        self.note = note

    def share(self, work, source):
        ASKED.append(("share", self.note))
        return super().share(work, source)

    def spawn(self, make):
        ASKED.append(("spawn", self.note))
        return super().spawn(make)


OWN = Named(name=f"{__name__}:Noted", options={"note": "own"})
HERE = Named(name="here")


@pytest.fixture(autouse=True)
def asked():
    ASKED.clear()
    return ASKED


def test_one_process_is_this_one_unless_it_is_to_be_apart():
    assert isinstance(choose_executor("processes", 2), Processes)
    assert isinstance(choose_executor(Named(name="processes"), 1), Here)
    assert isinstance(choose_executor("processes", 1, apart=True), Processes)
    assert isinstance(choose_executor(HERE, 2), Here)
    assert choose_executor(OWN, 3).note == "own"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("proceses", "unknown executor 'proceses'. Did you mean 'processes'"),
        (Named(name="processes", options={"wokers": 2}), "executor 'processes' has no option"),
        (Named(name=f"{__name__}:Noted", options={"notes": 2}), "Did you mean 'note'"),
        (f"{__name__}:Nobody", "cannot import executor"),
        (Named(name="builtins:dict"), "must make a subclass of .*Executor"),
    ],
)
def test_wrong_executors_are_refused_before_any_work(named, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        choose_executor(named, 1)
    executor = {"executor": Named(name=named) if isinstance(named, str) else named}
    runs = {
        "train": lambda out: train(training(**executor), out),
        "table": lambda out: run_benchmark(table(**executor), out, progress=False),
        "zero-shot": lambda out: run_benchmark(zero_shot(**data(executor)), out, progress=False),
        "ablation": lambda _: check_run(make_runs(ablation(tmp_path, executor["executor"]))[0]),
    }
    for name, run in runs.items():
        with pytest.raises(ValueError, match=message):
            run(tmp_path / name)
        assert not (tmp_path / name / "config.yaml").exists()


def data(executor):
    return {name: named.model_dump() for name, named in executor.items()}


def training(**fields):
    settings = {
        "task": {"name": "tiny:TinyFamily"},
        "finetuning": {"interval": 5},
        "network": {"hidden": 8},
        "algorithm": {"name": "ppo", "options": {"decisions": 16, "minibatches": 2, "epochs": 2}},
        "imitation": {"episodes": 8, "epochs": 1},
        "episodes": 16,
        "workers": 2,
        "environments": 4,
        "evaluation": {"every": 2, "tasks": 2, "base_lrs": [0.05]},
    }
    return TrainConfig.model_validate(settings | fields)


@pytest.mark.parametrize("stacked", [True, False])
def test_a_training_learns_the_same_wherever_its_workers_are(stacked, tmp_path, asked):
    evaluation = {"every": 2, "tasks": 2 if stacked else 1, "base_lrs": [0.05]}
    fields = {"evaluation": evaluation}
    fields |= {} if stacked else {"stacked": False, "imitation": None}

    def learned(name, executor):
        out = train(training(executor=executor, **fields), tmp_path / name)
        results = json.loads((out / "results.json").read_text())
        return l2o.read_card(out)["sha256"], results["best"], results["evaluations"]

    wanted = learned("processes", Named(name="processes"))
    assert learned("here", HERE) == wanted
    assert learned("own", OWN) == wanted
    # Demonstrations and evaluation are shared out, environments stay with their workers.
    assert ("share", "own") in asked
    assert asked.count(("spawn", "own")) == (2 if stacked else 0)


def test_a_benchmark_measures_the_same_wherever_its_workers_are(tmp_path, asked):
    small = {"rows": (), "grid": Grid(schedules=("cosine",), profiles=("flat",)), "seeds": 1}
    double = {"task": Named(name="stacked_cells:Double", options={"steps": 20})}
    found = {}
    for executor in (Named(name="processes"), HERE, OWN):
        settings = table(**small, **double, executor=executor)
        run_benchmark(settings, tmp_path / executor.name, workers=2, progress=False)
        folder = TABLE.load(tmp_path / executor.name)
        found[executor.name] = {id: each.scores for id, each in folder.records.items()}
        wanted = 2 if executor.name == "processes" else 1
        assert folder.results.machine["processes"] == wanted
    processes, here, own = found.values()
    assert here == own
    assert here.keys() == processes.keys()
    for id, scores in here.items():  # another number of workers stacks them otherwise
        for split, metrics in scores.items():
            assert metrics == pytest.approx(processes[id][split], rel=1e-9)
    assert asked == [("share", "own")]


def ablation(tmp_path, executor=None):
    path = tmp_path / "train.yaml"
    path.write_text(TRAIN)
    changes = {} if executor is None else {"executor": executor.model_dump()}
    variants = {"base": {}, "smaller": {"changes": {"network.hidden": 4}}}
    given = {"train": str(path), "variants": variants, "changes": changes}
    return check_config(AblationConfig, given, "a test")


def test_where_workers_are_is_no_part_of_what_runs_are_known_by(tmp_path):
    assert [cell.id for cell in make_plan(table()).cells] == [
        cell.id for cell in make_plan(table(executor=HERE)).cells
    ]
    plain, here = (make_runs(ablation(tmp_path, each)) for each in (None, HERE))
    assert [(run.id, run.folder) for run in plain] == [(run.id, run.folder) for run in here]
    assert here[0].config.executor == HERE
    assert family_config(zero_shot(executor=HERE.model_dump()), "seen").executor == HERE


@pytest.mark.parametrize("schema", [TrainConfig, BenchmarkConfig])
def test_configs_of_earlier_runs_are_read_as_before(schema):
    old = config_data(schema())
    assert old.pop("executor") == {"name": "processes", "options": {}}
    assert check_config(schema, old, "an earlier run") == schema()
