"""The house: which package may import which, what is packaged, how large files may grow."""

import ast
import configparser
import importlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import l2o

ROOT = Path(__file__).parents[1]
TOP = ("l2o", "configs", "envs", "policies", "benchmarks", "service")
MAY_IMPORT = {
    "l2o": {"l2o"},
    "configs": {"configs"},
    "envs": {"envs", "l2o", "configs"},
    "policies": {"policies", "envs", "l2o", "configs"},
    "benchmarks": {"benchmarks", "policies", "envs", "l2o", "configs"},
    "service": {"service", "benchmarks", "policies", "envs", "l2o", "configs"},
}
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60
HEAVY = ("gymnasium", "stable_baselines3", "ray", "matplotlib", "sklearn", "pydantic")
HEAVY += ("transformers", "lightning", "accelerate", "tensorboard")


def python_files(*tops):
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def house_files():
    """Return the paths of all files of the project: what git tracks or would track."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in sorted(set(done.stdout.split("\0"))) if (ROOT / name).is_file()]


def named(path):
    return str(path.relative_to(ROOT))


def imported(path):
    """Yield the names of modules a file imports, and the level of relative imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, 0, node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level, node.lineno
            if node.module == "l2o":
                for alias in node.names:
                    yield f"l2o.{alias.name}", 0, node.lineno


def home_of(module):
    """Return the top folder a module of ours lies in, None for others'."""
    parts = module.split(".")
    if parts[0] != "l2o":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in TOP[1:] else "l2o"


@pytest.mark.parametrize("top", TOP)
def test_imports_run_down(top):
    wrong = []
    for path in python_files(top):
        for module, level, line in imported(path):
            home = home_of(module)
            # `import l2o` itself names the innermost package; what matters is what follows it.
            if level or (home is not None and home not in MAY_IMPORT[top]):
                wrong.append(f"{named(path)}:{line} imports {'.' * level}{module}")
            elif top == "configs" and module == "l2o":
                wrong.append(f"{named(path)}:{line} imports {module}")
            elif module.split(".")[0] in TOP[1:]:
                wrong.append(f"{named(path)}:{line} imports {module}; write l2o.{module}")
    assert not wrong, "\n".join(wrong)


def setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_packages_of_setup_cfg_are_the_folders():
    listed = setup_cfg()["options"]["packages"].split()
    folders = set()
    for path in house_files():
        if path.name == "__init__.py" and path.relative_to(ROOT).parts[0] in TOP:
            package = ".".join(path.parent.relative_to(ROOT).parts)
            folders.add(package if package.split(".")[0] == "l2o" else f"l2o.{package}")
    assert sorted(listed) == sorted(folders)


def test_every_python_folder_is_a_package():
    missing = {named(path.parent) for path in python_files(*TOP)} - {
        named(path.parent) for path in python_files(*TOP) if path.name == "__init__.py"
    }
    assert not missing, f"without __init__.py, and so not in the wheel: {sorted(missing)}"
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_package_files_hold_only_exports_and_tables():
    wrong = []
    for path in python_files(*TOP):
        if path.name == "__init__.py":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            wrong += [f"{named(path)}:{node.lineno}" for node in body if not is_table(node, path)]
    assert not wrong, f"logic in __init__.py: {wrong}"


def is_table(node, path):
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign):
        return True
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    if isinstance(node, ast.FunctionDef):
        # Exports on first use (PEP 562).
        return node.name in ("__getattr__", "__dir__")
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        # Gymnasium knows environments by registration only.
        return path == ROOT / "envs/__init__.py" and ast.unparse(node.value.func).endswith(
            "register"
        )
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_architecture_page_names_the_tables_there_are():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+)` \| `(l2o[\w.]*)` \|", page, re.MULTILINE)
    assert len(rows) >= 10
    for table, module in rows:
        members = getattr(importlib.import_module(module), table)
        assert members, f"{module}.{table} is empty"
        assert all(isinstance(name, str) for name in members)


def test_files_and_functions_stay_small():
    wrong = []
    for path in python_files(*TOP):
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MAX_FILE_LINES:
            wrong.append(f"{named(path)} has {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    wrong.append(f"{named(path)}:{node.lineno} {node.name} has {length} lines")
    assert not wrong, "\n".join(wrong)


def test_importing_l2o_is_light():
    code = (
        "import sys, time; start = time.perf_counter(); import l2o\n"
        "print(f'import l2o: {time.perf_counter() - start:.2f} s')\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = done.stdout.splitlines()
    print(seconds)
    assert heavy == "", f"`import l2o` loads {heavy}"


def test_no_file_names_paths_of_a_machine():
    folders = ["home", "root", "Users", "work", "mnt", "media"]
    pattern = re.compile(rf"(?<![\w.~}}>/-])/(?:{'|'.join(folders)})/\w")
    wrong = []
    for path in house_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                wrong.append(f"{named(path)}:{number} {line.strip()[:80]}")
    assert not wrong, "\n".join(wrong)


def test_constraints_are_exact_and_portable():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    wrong = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert not wrong, f"not of the form name==version: {wrong}"
    names = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines}
    assert "l2o" not in names
    options = setup_cfg()
    required = options["options"]["install_requires"]
    required += options["options.extras_require"]["dev"]
    missing = {
        re.sub(r"[-_.]+", "-", re.split(r"[<>=]", line)[0]).lower()
        for line in required.split("\n")
        if line
    } - names
    assert not missing, f"not in constraints.txt: {sorted(missing)}"


def test_the_version_is_written_once():
    assert setup_cfg()["metadata"]["version"] == "attr: l2o.__version__"
    assert f"\n## [{l2o.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    holds = [path for path in python_files("l2o") if f'"{l2o.__version__}"' in path.read_text()]
    assert [named(path) for path in holds] == ["l2o/__init__.py"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from a copy of the tree: setuptools leaves a build folder behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in house_files():
        if path.relative_to(ROOT).parts[0] not in ("tests", "docs"):
            target = folder / "tree" / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "tree"]
    subprocess.run([*pip, *build], check=True, timeout=240)
    (built,) = folder.glob("*.whl")
    site = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, built], check=True)
    return built, site


def test_wheel_holds_all_of_the_house(wheel):
    held = set(zipfile.ZipFile(wheel[0]).namelist())
    expected = set()
    for path in house_files():
        parts = path.relative_to(ROOT).parts
        kinds = (".py", ".yaml", ".html", ".safetensors", ".json", ".typed", ".cpp")
        if parts[0] in TOP and path.suffix in kinds:
            expected.add("/".join(parts if parts[0] == "l2o" else ("l2o", *parts)))
    expected |= {"l2o/py.typed"}
    assert expected <= held, sorted(expected - held)
    assert {name.split("/")[0] for name in held} <= {"l2o", f"l2o-{l2o.__version__}.dist-info"}


def test_installed_wheel_works_away_from_the_tree(wheel, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(wheel[1])!r})\n"
        "import l2o.configs.load as load, l2o.service.cli as cli\n"
        f"assert load.__file__.startswith({str(wheel[1])!r}), load.__file__\n"
        "print(load.load_config('train', 'demo').name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "demo\n"
