"""What a job may not name: code by its path, and files outside of the data folder."""

import os
import subprocess
import sys
from contextlib import suppress

import pytest
from jobs_cases import ScriptRunner

from l2o.configs.catalog import list_presets
from l2o.configs.errors import ConfigError
from l2o.service.server.jobs.base import UnknownJobError
from l2o.service.server.jobs.code_names import CodeRefusedError
from l2o.service.server.jobs.commands import COMMANDS
from l2o.service.server.jobs.names import check_names
from l2o.service.server.jobs.paths import OutsideError
from l2o.service.server.jobs.request import JobRequest
from l2o.service.server.jobs.rows import Progress
from l2o.service.server.jobs.submitting import submit


@pytest.fixture
def runner(tmp_path):
    found = ScriptRunner(tmp_path)
    found.commands = COMMANDS
    (tmp_path / "uploads" / "photos").mkdir(parents=True)
    return found


def ask(runner, command="finetune", config=None, **fields):
    request = {"command": command, "config": config or {}, "needs": {"memory_gib": 1.0}} | fields
    return submit(runner, JobRequest.model_validate(request))


def nothing_written(runner):
    jobs = runner.data / "jobs"
    return runner.store.count() == {} and (not jobs.exists() or not list(jobs.iterdir()))


CODE = {
    "a task": {"task": {"name": "os:system"}},
    "deep in options": {"task": {"name": "digits", "options": {"a": [{"b": "my.module:Thing"}]}}},
    "a key": {"finetuning": {"guidance": {"os:system": {"weight": 1.0}}}},
    "a short field": {"optimizer": "torch.optim:SGD"},
    "a network that is no library's": {"network": "subprocess:run"},
    "a library's module": {"choice": {"schedule": "timm:create_model"}},
    "a library's module as a task": {"task": {"name": "torchvision:io"}},
    "a folder of the user's by timm": {"network": "timm:local-dir:/tmp/x"},
    "a module with a hyphen": {"choice": {"rule": "my-module:Rule"}},
    "spaces around": {"choice": {"rule": " os:system "}},
    "an interval": {"finetuning": {"interval": {"name": "x.y:Z"}}},
    "a switch": {"task": {"name": "folder", "options": {"allow_code": True}}},
    "a library's switch": {"task": {"name": "folder", "options": {"trust_remote_code": 1}}},
    "weights": {"weights": "package:os:system"},
}


@pytest.mark.parametrize("config", CODE.values(), ids=CODE)
def test_code_by_name_is_refused_wherever_it_stands(runner, config):
    with pytest.raises(CodeRefusedError, match="--allow-code"):
        ask(runner, config=config)
    assert nothing_written(runner)


def test_code_in_uploaded_yaml_is_refused(runner):
    text = "a: &x {name: 'os:system'}\n"
    with pytest.raises(ConfigError, match="a"):
        ask(runner, config=text)
    text = "extends: digits\ntask: {name: digits, options: {deep: &x ['os:system']}}\n"
    with pytest.raises(CodeRefusedError, match=r"task\.options\.deep\.0"):
        ask(runner, config=text)
    with pytest.raises(ConfigError, match="tag"):
        ask(runner, config="task: !!python/object/apply:os.system ['true']\n")
    assert nothing_written(runner)


def test_code_in_other_commands_is_refused(runner):
    with pytest.raises(CodeRefusedError, match=r"algorithm\.name"):
        ask(runner, "train", {"extends": "demo", "algorithm": {"name": "a.b:C"}})
    with pytest.raises(CodeRefusedError):
        ask(runner, "benchmark", {"extends": "demo", "executor": {"name": "a.b:C"}})
    predict = {"run": "jobs/x/run", "images": "uploads/photos", "allow_code": True}
    with pytest.raises(CodeRefusedError, match="allow_code"):
        ask(runner, "predict", predict)
    assert nothing_written(runner)


@pytest.mark.parametrize("config", CODE.values(), ids=CODE)
def test_who_may_name_code_may(runner, config):
    runner.allow_code = True
    if config == CODE["a folder of the user's by timm"]:
        with pytest.raises(OutsideError):
            ask(runner, config=config)
    elif config in (CODE["a module with a hyphen"], CODE["spaces around"]):
        with pytest.raises(ConfigError, match="names no package"):
            ask(runner, config=config)
    else:
        assert ask(runner, config=config).state == "queued"


def test_presets_name_no_code(runner):
    for command in ("finetune", "train", "benchmark"):
        for preset in list_presets(command):
            # One that reads a folder of images expects that another one is given.
            with suppress(OutsideError):
                ask(runner, command, {"extends": preset})


def test_a_job_itself_imports_no_code(monkeypatch):
    from l2o.registry import lookup

    assert lookup("function", {}, "math:sqrt")(9.0) == 3.0
    monkeypatch.setenv("L2O_NO_CODE", "1")
    with pytest.raises(ValueError, match="start the server with --allow-code"):
        lookup("function", {}, "math:sqrt")


OUTSIDE = {
    "absolute": {"source": "/etc"},
    "up": {"source": "uploads/../../x"},
    "up and down": {"target": "../data/uploads/photos"},
    "home": {"weights": "~/x.safetensors"},
    "the database": {"weights": "service.db"},
    "the tokens": {"source": "./token"},
    "a policy elsewhere": {"choice": {"policy": "/tmp/policy"}},
    "deep in options": {"task": {"name": "folder", "options": {"x": [["/etc/passwd"]]}}},
    "of windows": {"source": "C:\\photos"},
    "a null": {"source": "uploads/photos\0/etc"},
    "a folder of transformers": {"network": "transformers:../../model"},
    "another drive": {"network": "transformers:/model"},
    "a list": {"source": ["uploads/photos", "/etc"]},
}


@pytest.mark.parametrize("config", OUTSIDE.values(), ids=OUTSIDE)
def test_paths_stay_below_the_data_folder(runner, config):
    (runner.data / "token").touch()
    with pytest.raises((OutsideError, CodeRefusedError), match=r"leads out|null|code by its path"):
        ask(runner, config=config)
    runner.allow_code = True
    with pytest.raises(OutsideError):
        ask(runner, config=config)
    assert nothing_written(runner)


def test_links_that_lead_out_are_followed(runner, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (runner.data / "uploads" / "link").symlink_to(outside)
    with pytest.raises(OutsideError):
        ask(runner, config={"source": "uploads/link/x"})


def test_paths_that_jobs_may_read(runner):
    config = {
        "task": {"name": "folder"},
        "source": "uploads/photos",
        "target": str(runner.data / "uploads" / "photos" / "real"),
        "network": "timm:resnet18.a1_in1k",
        "groups": {"stem": r"^(conv1|bn1)\.", "rest": ".*"},
        "choice": {"policy": "jobs/0123456789ab/run"},
        "finetuning": {"device": "cuda:0"},
    }
    assert ask(runner, config=config).state == "queued"
    for name in ("transformers:google/vit-base-patch16-224", "timm:hf_hub:timm/resnet10t.c3_in1k"):
        assert ask(runner, config={"network": name}).state == "queued"


def test_extends_names_presets_only(runner, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("task: {name: digits}\n")
    for extends in (str(other), "../other.yaml", "nope", ["digits"]):
        with pytest.raises(ConfigError, match="extends"):
            ask(runner, config={"extends": extends})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"command": "finetun"}, "Did you mean 'finetune'"),
        ({"command": "report"}, "Jobs run: finetune, train, benchmark, tune, simulate, predict"),
        ({"config": {"base_lrr": 1.0}}, "base_lr"),
        ({"config": {"base_lr": -1.0}}, "base_lr"),
        ({"config": "- a list"}, "mapping"),
        ({"config": "a: [b"}, "config"),
        ({"needs": {"cores": 500}}, "needs: it needs 500 cores, and the machine has 2"),
        ({"command": "predict", "config": {"run": "jobs/a/run"}}, "images"),
        ({"command": "tune", "config": {"extends": "digits", "config": "x"}}, "preset of finetune"),
        ({"command": "tune", "config": {"search": {}}}, "search"),
        ({"command": "simulate", "config": {"simulator": {"name": "x"}}}, "simulator"),
        ({"command": "simulate", "config": {"extends": "nope"}}, "preset of simulate"),
    ],
)
def test_wrong_requests_say_what_and_how(runner, fields, message):
    with pytest.raises(ConfigError, match=message):
        ask(runner, **{"config": {}} | fields)
    assert nothing_written(runner)


def test_searches_and_data_sets_tell_how_far_they_are(runner):
    search = runner.folder(ask(runner, "tune", {"extends": "digits"}).id)
    words = COMMANDS["tune"].words(search)
    assert words == ["tune", str(search.config), "--out", str(search.run), "--resume"]
    assert COMMANDS["tune"].progress(search) is None
    (search.run / "trials" / "a").mkdir(parents=True)
    (search.run / "trials" / "a" / "reports.jsonl").touch()
    assert COMMANDS["tune"].progress(search) == Progress(1, 18, "trials")
    drawn = runner.folder(ask(runner, "simulate", {"extends": "digits", "images": 9}).id)
    assert COMMANDS["simulate"].progress(drawn) is None
    (drawn.run / "images" / "3").mkdir(parents=True)
    (drawn.run / "images" / "3" / "000001.png").touch()
    assert COMMANDS["simulate"].progress(drawn) == Progress(1, 9, "images")


def test_after_nowhere_is_refused(runner):
    with pytest.raises(UnknownJobError):
        ask(runner, after=("0" * 12,))
    assert nothing_written(runner)


def nested(levels):
    data = "x"
    for _ in range(levels):
        data = [data]
    return data


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config": {"task": {"name": "digits", "options": {"a": nested(50_000)}}}}, "nested"),
        ({"config": {"source": "\ud800"}}, "surrogate"),
        ({"name": "a\nb"}, "one line"),
        ({"key": "\ud800"}, "key"),
        ({"after": ["../../x"]}, "pattern"),
        ({"priority": 10**30}, "1000"),
        ({"needs": {"memory_gib": 0}}, "greater than 0"),
        ({"more": 1}, "not permitted"),
    ],
)
def test_requests_that_are_none(fields, message):
    with pytest.raises(ValueError, match=message):
        JobRequest.model_validate({"command": "finetune"} | fields)


def test_predict_takes_no_options_for_paths(runner):
    config = {"run": "jobs/0123456789ab/run", "images": "--allow-code"}
    job = ask(runner, "predict", config)
    words = COMMANDS["predict"].words(runner.folder(job.id))
    assert words.index("--") < words.index("--allow-code")


@pytest.mark.parametrize(
    ("results", "out"), [("{}", "predictions.csv"), ('{"overlap": []}', "masks"), ("[", None)]
)
def test_predictions_are_a_table_or_masks(runner, results, out):
    run = runner.data / "jobs" / "0123456789ab" / "run"
    run.mkdir(parents=True)
    (run / "results.json").write_text(results)
    config = {"run": "jobs/0123456789ab/run", "images": "uploads/photos"}
    folder = runner.folder(ask(runner, "predict", config).id)
    words = COMMANDS["predict"].words(folder)
    assert f"--out={folder.run / (out or 'predictions.csv')}" in words


def test_the_environment_of_a_job_holds_in_a_process_of_its_own(tmp_path):
    code = "import l2o.registry as r; r.lookup('thing', {}, 'math:sqrt')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "L2O_NO_CODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "names code by its path" in done.stderr


NAMES = {
    "choice.policy": ({"choice": {"policy": "asg-bsae"}}, "Did you mean 'asg-base'"),
    "choice.schedule": ({"choice": {"schedule": "cosin"}}, "Did you mean 'cosine'"),
    "task": ({"task": {"name": "digitz"}}, "Did you mean 'digits'"),
    "finetuning.guidance": ({"finetuning": {"guidance": {"l2spp": {}}}}, "Did you mean 'l2_sp'"),
    "choice.rule": ({"choice": {"rule": "no_package_of_this_name:Rule"}}, "names no package"),
}


@pytest.mark.parametrize("field", NAMES)
def test_unknown_names_are_refused_before_a_job_is_queued(runner, field):
    config, told = NAMES[field]
    runner.allow_code = True
    with pytest.raises(ConfigError, match=told) as error:
        ask(runner, config=config)
    assert str(error.value).startswith(field)
    assert nothing_written(runner)


@pytest.mark.parametrize("command", ["finetune", "train", "benchmark"])
def test_all_names_in_presets_are_known(tmp_path, command):
    for preset in list_presets(command):
        check_names(COMMANDS[command].resolve({"extends": preset}), tmp_path)
