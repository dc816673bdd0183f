"""The house: which package may import which, what is packaged, how large files may grow."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bare import BASE, EXTRAS, SETUP, packages

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


DOOR = ROOT / "l2o/__main__.py"
"""What `python -m l2o` runs, and nothing imports: it hands over to the command line."""


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
    if parts[1:2] == ["extras"]:
        # It imports nothing of ours, and words what is missing for all.
        return "l2o.extras"
    return parts[1] if len(parts) > 1 and parts[1] in TOP[1:] else "l2o"


@pytest.mark.parametrize("top", TOP)
def test_imports_run_down(top):
    wrong = []
    for path in python_files(top):
        if path == DOOR:
            continue
        for module, level, line in imported(path):
            home = home_of(module)
            # `import l2o` itself names the innermost package; what matters is what follows it.
            if level or (home is not None and home not in MAY_IMPORT[top] | {"l2o.extras"}):
                wrong.append(f"{named(path)}:{line} imports {'.' * level}{module}")
            elif top == "configs" and module == "l2o":
                wrong.append(f"{named(path)}:{line} imports {module}")
            elif module.split(".")[0] in TOP[1:]:
                wrong.append(f"{named(path)}:{line} imports {module}; write l2o.{module}")
    assert not wrong, "\n".join(wrong)


def test_packages_of_setup_cfg_are_the_folders():
    listed = SETUP["options"]["packages"].split()
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
    if isinstance(node, ast.With):
        return ast.unparse(node).startswith("with needed_by(") and all(
            isinstance(each, ast.Import | ast.ImportFrom) for each in node.body
        )
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = ast.unparse(node.value.func)
        # Gymnasium knows environments by registration only.
        registers = path == ROOT / "envs/__init__.py" and called.endswith("register")
        return called == "require" or registers
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
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
        "for name in l2o.list_policies(): l2o.load_policy(name)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy, compiler = done.stdout.splitlines()
    print(seconds)
    assert heavy == "", f"`import l2o` loads {heavy}"
    assert compiler == "False", "loading a policy loads torch's compiler, two seconds of work"


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
    missing = (BASE | packages(EXTRAS["dev"])) - names
    assert not missing, f"not in constraints.txt: {sorted(missing)}"


def test_the_version_is_written_once():
    assert SETUP["metadata"]["version"] == "attr: l2o.__version__"
    assert f"\n## [{l2o.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    holds = [path for path in python_files("l2o") if f'"{l2o.__version__}"' in path.read_text()]
    assert [named(path) for path in holds] == ["l2o/__init__.py"]
