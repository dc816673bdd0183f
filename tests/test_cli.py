"""The command line: what it calls, what it prints, how it ends."""

import importlib
import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from l2o.configs.load import dump_config, load_config
from l2o.configs.yaml_text import parse_yaml
from l2o.service.cli import app
from l2o.service.outcomes import raised_by_us

COMMANDS = tuple(each.name or each.callback.__name__ for each in app.registered_commands)


TRAINED = {
    "episodes": 12,
    "seconds": 90.0,
    "speed": {
        "fine_tune_steps_per_second": 20.0,
        "fine_tunes_per_second": 0.5,
        "share_stepping": 0.75,
        "share_learning": 0.25,
    },
    "best": {"target_accuracy": 0.625},
}


class Calls(list):
    """Stand-ins for the entry points; each call is recorded, and raises what it is told to."""

    def __init__(self):
        self.error = None

    def entry(self, name, result):
        def call(*args, **kwargs):
            self.append((name, args, kwargs))
            if self.error is not None:
                raise self.error
            return result(*args, **kwargs)

        return call


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Replace the entry points of the other packages, and work in an empty folder."""
    calls = Calls()

    def save(config, out, resume=False):
        out.mkdir(parents=True, exist_ok=True)
        (out / "saved").write_text("x")
        (out / "config.yaml").write_text(dump_config(config))
        (out / "results.json").write_text(json.dumps(TRAINED))
        return out

    places = {
        "l2o.policies.train": {"train": save},
        "l2o.service.finetuning.run": {
            "check": lambda config: None,
            "run_finetune": lambda config, out, **more: save(config, out) / "results.json",
        },
        "l2o.service.finetuning.summary": {"summary": lambda record: "summary"},
        "l2o.benchmarks": {
            "run_benchmark": lambda config, out, workers, progress: out,
            "print_table": lambda folder: None,
            "write_report": lambda folder: folder / "report.html",
        },
    }
    # What a stand-in is put over must be there before it.
    importlib.import_module("l2o.benchmarks.cells.record_file")
    for module_name, functions in places.items():
        module = ModuleType(module_name)
        for name, result in functions.items():
            setattr(module, name, calls.entry(name, result))
        monkeypatch.setitem(sys.modules, module_name, module)
    monkeypatch.chdir(tmp_path)
    return calls


def run(*arguments):
    result = CliRunner().invoke(app, list(arguments), prog_name="l2o")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"l2o {command}" in result.output.partition("Examples:")[2]


@pytest.mark.parametrize("command", ["train", "finetune", "benchmark", "simulate"])
def test_examples_of_the_help_are_valid(command, calls):
    for line in re.findall(rf"  l2o {command} (.*)", run(command, "--help").output):
        config, *rest = line.split()
        overrides = [word for word in rest if "=" in word]
        if not config.endswith(".yaml"):
            load_config(command, config, overrides)


def test_version():
    assert re.fullmatch(r"l2o \d+\.\d+\.\d+\s*", run("--version").output)


def test_train_passes_config_folder_and_resume(calls):
    result = run("train", "demo", "seed=3", "minutes=null")
    assert result.exit_code == 0, result.output
    ((name, (config, out), options),) = calls
    assert (name, out, options) == ("train", Path("runs/train-demo"), {"resume": False})
    assert config == load_config("train", "demo", ["seed=3", "minutes=null"])
    assert load_config("train", out / "config.yaml") == config
    assert f"policy: {out}" in result.output
    assert "12 fine-tunes in 1.5 min; target accuracy 0.625" in result.output
    assert "20 fine-tune steps/s, 0.50 fine-tunes/s" in result.output
    assert "time: stepping 75%, learning 25%" in result.output


def test_train_overwrites_nothing_and_resumes(calls):
    assert run("train", "demo", "--out", "a", "--resume").exit_code == 0
    again = run("train", "demo", "--out", "a")
    assert again.exit_code == 2
    assert "a is not empty" in again.stderr
    assert "--resume" in again.stderr
    assert run("train", "demo", "--out", "a", "--resume").exit_code == 0
    assert [options["resume"] for *_, options in calls] == [False, True]


def test_train_resumes_with_a_larger_budget_or_elsewhere_but_no_other_change(calls):
    run("train", "demo", "--out", "a")
    assert run("train", "demo", "minutes=99", "--out", "a", "--resume").exit_code == 0
    assert load_config("train", "a/config.yaml").minutes == 99
    assert run("train", "demo", "executor.name=here", "--out", "a", "--resume").exit_code == 0
    other = run("train", "demo", "seed=5", "network.hidden=8", "--out", "a", "--resume")
    assert other.exit_code == 2
    assert "seed: 0 -> 5" in other.stderr
    assert "network.hidden: 64 -> 8" in other.stderr
    assert len(calls) == 3


def test_train_does_not_resume_what_is_no_run(calls):
    Path("a").mkdir()
    Path("a/notes.txt").write_text("mine")
    result = run("train", "demo", "--out", "a", "--resume")
    assert result.exit_code == 2
    assert "a holds no config.yaml" in result.stderr
    Path("file").touch()
    assert "is a file" in run("train", "demo", "--out", "file").stderr
    assert calls == []


def test_failure_before_any_work_leaves_the_folder_usable(calls):
    calls.error = KeyboardInterrupt()
    assert run("train", "demo").exit_code == 130
    calls.error = None
    assert run("train", "demo").exit_code == 0


def test_finetune_takes_the_policy_option(calls):
    result = run("finetune", "digits", "base_lr=0.1", "--policy", "some-policy", "--out", "b")
    assert result.exit_code == 0, result.output
    assert [name for name, _, _ in calls] == ["check", "run_finetune", "summary"]
    config, out = calls[1][1]
    assert config.choice.policy == "some-policy"
    assert config.base_lr == 0.1
    assert out == Path("b")
    second = run("finetune", "digits", "--out", "b")
    assert second.exit_code == 2
    assert "choose another folder with --out" in second.stderr


def test_benchmark_passes_workers_and_goes_on(calls, tmp_path):
    config = tmp_path / "table.yaml"
    config.write_text("rows: [{label: a}]")
    result = run("benchmark", str(config), "--workers", "3", "seeds=2")
    assert result.exit_code == 0, result.output
    (name, (settings, out), options), (table, _, _) = calls
    assert (name, table) == ("run_benchmark", "print_table")
    assert out == Path("runs/benchmark-table")
    assert options == {"workers": 3, "progress": True}
    out.mkdir(parents=True)
    (out / "cells.jsonl").touch()
    (out / "config.yaml").write_text(dump_config(settings))
    assert run("benchmark", str(config), "seeds=2").stderr == ""
    assert "seeds: 2 -> 4" in run("benchmark", str(config), "seeds=4").stderr
    assert run("benchmark", str(config), "--workers", "0").exit_code == 2


def test_benchmark_takes_comparisons_over_families(calls):
    result = run("benchmark", "zero-shot", "lite=null", "families.digits.base_lr=0.01")
    assert result.exit_code == 0, result.output
    (_, (settings, out), _), _ = calls
    assert (settings.lite, settings.families["digits"].base_lr) == (None, 0.01)
    out.mkdir(parents=True)
    (out / "results.json").touch()
    (out / "config.yaml").write_text(dump_config(settings))
    again = run("benchmark", "zero-shot", "lite=null", "families.digits.base_lr=0.1")
    assert "families.digits.base_lr: 0.01 -> 0.1" in again.stderr
    wrong = run("benchmark", "zero-shot", "families.digits.unsen=true")
    assert wrong.exit_code == 2
    assert "Did you mean families.digits.unseen?" in wrong.stderr


def test_report_writes_and_prints(calls, tmp_path):
    assert run("report", str(tmp_path)).output.endswith("report.html\n")
    assert [name for name, *_ in calls] == ["write_report", "print_table"]
    missing = run("report", "nowhere")
    assert missing.exit_code == 2
    assert "nowhere is no folder" in missing.stderr


def test_policies_lists_and_shows_cards(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    card = {"format": 1, "description": "PPO on digits", "licence": "Apache-2.0"}
    card |= {"architecture": {}, "signals": {}, "multipliers": {}}
    (folder / "card.json").write_text(json.dumps(card))
    monkeypatch.setenv("L2O_POLICY_PATH", str(tmp_path))
    assert "mine" in run("policies").output
    assert "PPO on digits (Apache-2.0)" in run("policies").output
    assert "licence: Apache-2.0" in run("policies", "mine").output.splitlines()
    assert parse_yaml(run("policies", "mine").output, "shown") == card
    card |= {"config": {"steps": 3}, "known_limits": ["It ends at chance.", "A rule ties it."]}
    (folder / "card.json").write_text(json.dumps(card))
    shown = run("policies", "mine").output
    assert parse_yaml(shown, "shown") == card
    assert shown.index("It ends at chance.") < shown.index("A rule ties it.") < shown.index("steps")
    unknown = run("policies", "mien")
    assert unknown.exit_code == 2
    assert "Did you mean 'mine'?" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "dmeo"], "Did you mean 'demo'?"),
        (["train", "nothing.yaml"], "nothing.yaml does not exist"),
        (["train", "demo", "seeed=1"], "Did you mean seed?"),
        (["train", "demo", "seed"], "write key=value"),
        (["finetune", "digits", "base_lr=-1"], "base_lr = -1: must be greater than 0"),
        (["benchmark", "x.yaml", "tasks=0"], "x.yaml does not exist"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments, message, calls):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stdout == ""
    assert calls == []
    assert not Path("runs").exists()


def test_errors_of_ours_are_told_from_bugs(calls):
    with pytest.raises(ValueError, match="could not convert"):
        calls_error(calls, _library_error())
    calls.error = FileNotFoundError(2, "No such file", "data.npz")
    assert run("train", "demo").exit_code == 2
    assert not raised_by_us(ValueError())


def calls_error(calls, error):
    calls.error = error
    return run("train", "demo")


def _library_error():
    try:
        float("x")
    except ValueError as error:
        return error


DRIVER = """
import sys, time, types
module = types.ModuleType("l2o.policies.train")
def train(config, out, resume):
    out.mkdir(exist_ok=True)
    (out / "saved").write_text("x")
    print("ready", flush=True)
    time.sleep(60)
module.train = train
sys.modules["l2o.policies.train"] = module
sys.argv[0] = "l2o"
from l2o.service.cli import main
main()
"""


def test_interrupt_says_where_and_how_to_go_on(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(DRIVER), "train", "demo", "seed=1"]
    process = subprocess.Popen(
        [*command, "--out", "my run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background may have it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "saved in my run" in stderr
    assert "l2o train demo seed=1 --out 'my run' --resume" in stderr
    assert "Traceback" not in stderr


def test_installed_command_ends_with_real_exit_codes(tmp_path):
    program = Path(sys.executable).with_name("l2o")
    done = subprocess.run(
        [program, "train", "dmeo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no train preset named 'dmeo'.")


def test_help_imports_nothing_slow():
    """What the command line itself imports; `import l2o` is held by test_house."""
    code = (
        "import sys, l2o; before = set(sys.modules); import l2o.service.cli\n"
        "print([n for n in ('stable_baselines3', 'gymnasium', 'pydantic', 'sklearn', 'matplotlib')"
        " if n in sys.modules and n not in before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
