"""The wheel and the source distribution: what is in them, and that what they install works."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from test_extras import PLUG_IN
from test_house import ROOT, TOP, house_files

LEFT_OUT = (".ci", ".github")


def copy_tree(target):
    """Copy the project's own files: setuptools leaves folders behind where it builds."""
    for path in house_files():
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return target


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the source distribution, of that the wheel, and install it; return all three."""
    folder = tmp_path_factory.mktemp("built")
    tree = copy_tree(folder / "tree")
    python = [sys.executable, "-m"]
    subprocess.run(
        [*python, "build", "--no-isolation", "--outdir", folder, tree],
        check=True,
        timeout=240,
        capture_output=True,
    )
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    pip = [*python, "pip", "--disable-pip-version-check", "--quiet", "install", "--no-index"]
    site = folder / "site"
    subprocess.run([*pip, "--no-deps", "--no-compile", "--target", site, wheel], check=True)
    return source, wheel, site


def installed_name(path):
    """Return where a file of the top folders lies in the wheel."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts if parts[0] == "l2o" else ("l2o", *parts))


def test_the_wheel_holds_all_of_the_house_and_nothing_else(built):
    held = set(zipfile.ZipFile(built[1]).namelist())
    ours = [path for path in house_files() if path.relative_to(ROOT).parts[0] in TOP]
    expected = {installed_name(path) for path in ours}
    assert "l2o/py.typed" in expected
    facts = {name for name in held if re.match(r"l2o-[\w.]+\.dist-info/", name)}
    assert held - facts == expected


def test_the_source_distribution_holds_the_whole_project(built):
    with tarfile.open(built[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    paths = {path.relative_to(ROOT) for path in house_files()}
    expected = {
        path.as_posix()
        for path in paths
        if path.parts[0] not in LEFT_OUT and not path.name.startswith(".")
    }
    assert expected <= held, sorted(expected - held)


READ_ALL = """
from importlib.metadata import entry_points
from importlib.resources import files
from l2o.configs.catalog import list_presets
from l2o.configs.load import load_config
print("at", l2o.__file__)
for name in l2o.list_policies():
    l2o.load_policy(name)
    print("policy", name)
for kind in ("train", "finetune", "benchmark", "simulate", "tune"):
    for name in list_presets(kind):
        load_config(kind, name)
        print("preset", kind, name)
for package, name in (
    ("l2o", "py.typed"),
    ("l2o.benchmarks.report", "templates/report.html"),
    ("l2o.envs.stacked.kernels", "convolution.cpp"),
):
    print("file", name, len(files(package).joinpath(name).read_text(encoding="utf-8")) > 0)
script = next(each for each in entry_points(group="console_scripts") if each.name == "l2o")
sys.argv = ["l2o", "--version"]
script.load()()
"""


def test_the_installed_copy_plugs_a_policy_in_and_reads_all_its_files(built, tmp_path):
    _, wheel, site = built
    program = f"import sys; sys.path.insert(0, {str(site)!r})\n{PLUG_IN}{READ_ALL}"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rates, place, *told, version = done.stdout.splitlines()
    assert rates.startswith("{")
    assert place == f"at {site / 'l2o' / '__init__.py'}"
    assert version == f"l2o {wheel.name.split('-')[1]}"
    policies = {path.parent.name for path in ROOT.glob("policies/zoo/*/card.json")}
    presets = ROOT.glob("configs/presets/*/*.yaml")
    expected = {f"policy {name}" for name in policies}
    expected |= {f"preset {path.parent.name} {path.stem}" for path in presets}
    expected |= {"file py.typed False", "file templates/report.html True"}
    assert set(told) == expected | {"file convolution.cpp True"}
