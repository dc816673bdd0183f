"""The base install plugs a policy in; what it lacks is one message with the command."""

import ast
import re
import sys
from pathlib import Path

import pytest
from bare import BASE, EXTRAS, canonical, installed, packages, run_bare

from l2o.extras import EXTRA_OF, INCLUDED, PACKAGES, MissingExtraError, missing, needed_by, require
from l2o.registry import lookup
from l2o.service.base_install import EXTRAS as COMMANDS
from l2o.service.cli import app

ROOT = Path(__file__).parents[1]
TOP = ("l2o", "configs", "envs", "policies", "benchmarks", "service")
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
PLUG_IN = next(block for block in BLOCKS if "LRController" in block)
ENTRY = "import sys; sys.argv[0] = 'l2o'\nfrom l2o.service.entry import main; main()"


def imported_roots():
    """Return the top-level modules that are imported anywhere, and where first."""
    found = {}
    for path in sorted(each for top in TOP for each in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            for name in names:
                found.setdefault(name.partition(".")[0], path.relative_to(ROOT))
    return found


def test_every_library_that_is_imported_is_in_the_base_or_in_an_extra():
    # psutil is used if it is there, see `free_memory`; pydantic_core is a part of pydantic; bpy is
    # in the Blender that runs the file which imports it.
    known = {"l2o", "psutil", "pydantic_core", "bpy", *BASE, *EXTRA_OF, *sys.stdlib_module_names}
    unknown = {name: str(path) for name, path in imported_roots().items() if name not in known}
    assert not unknown


def test_extras_of_setup_cfg_bring_what_the_table_says():
    for module, extra in EXTRA_OF.items():
        package = canonical(PACKAGES.get(module, module))
        assert package in packages(EXTRAS[extra]), f"{module}: {package} is not in {extra}"
        assert module not in BASE
        for whole, parts in INCLUDED.items():
            if extra in parts:
                assert package in packages(EXTRAS[whole]), f"{package} is not in {whole}"


def test_packages_are_called_as_they_are_installed():
    for module in EXTRA_OF:
        if module in installed():
            assert canonical(PACKAGES.get(module, module)) in map(canonical, installed()[module])


def test_all_has_every_extra_and_dev_the_tools():
    everything = packages(EXTRAS["all"])
    for extra in EXTRAS:
        if extra not in ("all", "dev"):
            assert packages(EXTRAS[extra]) <= everything, extra


def test_every_command_has_its_extra():
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert commands - {"policies"} == COMMANDS.keys()
    assert set(COMMANDS.values()) <= set(EXTRAS)


SHOW = """
for show in (controller.plot, lambda: controller.log_to("events")):
    try:
        show()
    except ModuleNotFoundError as error:
        print(error)
"""


def test_the_plug_in_code_of_the_readme_runs_in_a_base_install(tmp_path):
    done = run_bare(PLUG_IN + SHOW, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")
    assert done.stdout.splitlines()[1:] == [
        'controller.plot() needs matplotlib: pip install "l2o[plot]"',
        'log_to a folder needs tensorboard: pip install "l2o[plot]"',
    ]


def test_the_command_line_of_a_base_install(tmp_path):
    shown = run_bare(ENTRY, "--help", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    for words in ('pip install "l2o[train]"', 'pip install "l2o[bench]"', "l2o policies"):
        assert words in shown.stdout
    code = "from l2o.service.base_install import run\n"
    code += "print(run(['policies']), run(['policies', 'asg-base']), run(['policies', 'asg-bas']))"
    done = run_bare(code, cwd=tmp_path)
    assert done.stdout.endswith("}\n0 0 2\n"), done.stderr
    assert re.search(r"^asg-lite +digits", done.stdout, re.MULTILINE)
    assert '"licence": "Apache-2.0"' in done.stdout
    assert done.stderr.startswith("error: unknown policy 'asg-bas'. Did you mean 'asg-base'?")


@pytest.mark.parametrize(("command", "extra"), COMMANDS.items())
def test_a_command_that_lacks_its_extra_says_what_to_install(command, extra, tmp_path):
    done = run_bare(ENTRY, command, "demo", cwd=tmp_path)
    told = f'error: l2o {command} needs gymnasium: pip install "l2o[{extra}]"\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


@pytest.mark.parametrize(
    ("words", "installed", "told"),
    [
        (
            ["train", "demo"],
            ("typer", "pydantic", "ruamel.yaml", "filelock"),
            'error: l2o train needs gymnasium: pip install "l2o[train]"\n',
        ),
        (
            ["benchmark", "digits", "task.name=textures", "task.options={}"],
            packages(EXTRAS["bench"]),
            'needs scikit-image: pip install "l2o[textures]"\n',
        ),
    ],
    ids=["a part of it", "another extra"],
)
def test_what_is_missing_is_told_by_the_whole_command_line(words, installed, told, tmp_path):
    done = run_bare(ENTRY, *words, allowed=installed, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith(told)
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("runs/*")), "a refused command leaves a folder"


IMPORT_ALL = """
import importlib
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(name, type(error).__name__, error, sep=": ")
"""


def test_every_module_can_be_imported_or_says_what_to_install():
    """Whatever is imported of the other folders, their `__init__.py` comes first."""
    paths = sorted((ROOT / "l2o").rglob("*.py"))
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    modules = [name.removesuffix(".__init__") for name in modules]
    done = run_bare(IMPORT_ALL, *modules, *(f"l2o.{top}" for top in TOP[1:]))
    assert done.returncode == 0, done.stderr
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    wording = re.compile(r'^MissingExtraError: (.*) needs [\w-]+: pip install "l2o\[\w+\]"$')
    wrong = {name: text for name, text in told.items() if not wording.match(text)}
    assert not wrong
    assert told["l2o.envs"].endswith('l2o.envs needs gymnasium: pip install "l2o[train]"')
    assert told["l2o.benchmarks"].endswith('pip install "l2o[bench]"')
    tops = {f"l2o.{top}" for top in ("configs", "envs", "policies", "benchmarks")}
    loops = {name for name in told if name.startswith("l2o.integrations.")}
    assert told.keys() == tops | loops | {"l2o.control.plot"}
    assert {"huggingface", "lightning", "accelerate"} <= {name.split(".")[-1] for name in loops}


def test_the_outermost_speaks_where_its_extra_brings_what_is_missing():
    with pytest.raises(MissingExtraError) as found, needed_by("l2o benchmark", "bench"):
        raise missing("l2o.envs", "gymnasium")
    assert str(found.value) == 'l2o benchmark needs gymnasium: pip install "l2o[bench]"'
    with pytest.raises(MissingExtraError) as found, needed_by("l2o benchmark", "bench"):
        raise missing("Grad-CAM", "captum")
    assert str(found.value) == 'Grad-CAM needs captum: pip install "l2o[captum]"'
    with pytest.raises(MissingExtraError) as found, needed_by("the page"):
        raise missing("controller.plot()", "matplotlib")
    assert str(found.value) == 'controller.plot() needs matplotlib: pip install "l2o[plot]"'


def test_a_lack_is_an_import_error_and_a_wrong_value_wherever_it_is_met(tmp_path, monkeypatch):
    error = missing("Grad-CAM", "captum")
    assert isinstance(error, ModuleNotFoundError)
    assert isinstance(error, ValueError)
    assert error.name == "captum"
    (tmp_path / "of_mine.py").write_text(
        "from l2o.extras import require\nrequire('my task', 'no_such_thing', extra='vision')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    # A module that was found and says what it lacks is not one that could not be imported.
    with pytest.raises(MissingExtraError, match=r'^my task needs no_such_thing: pip install "l2o'):
        lookup("task", {}, "of_mine:Task")


def test_what_is_no_library_of_an_extra_passes():
    with (
        pytest.raises(ModuleNotFoundError, match="No module named"),
        needed_by("x"),
    ):
        import no_such_thing  # noqa: F401
    with pytest.raises(ImportError, match="no_such_name"), needed_by("x"):
        from math import no_such_name  # noqa: F401


def test_require_names_the_first_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    require("the page", "json", "torch")
    with pytest.raises(MissingExtraError, match=r'^the page needs scipy: pip install "l2o\[bench'):
        require("the page", "torch", "scipy", "gymnasium")
