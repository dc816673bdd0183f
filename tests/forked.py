"""Scripts as programs of their own, forked from one that has loaded torch, which takes seconds."""

import contextlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

PARENT = """
import json, os, runpy, sys
import torch, torch._dynamo  # an optimizer loads the latter

for line in sys.stdin:
    script, folder, output, errors = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
else:
    sys.exit()

# From here on it is the script's own process.
for name, handle in ((output, 1), (errors, 2)):
    os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), handle)
os.chdir(folder)
sys.argv[:] = [script]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


@contextlib.contextmanager
def programs(folder):
    """Give a function that runs a script in a folder and returns how it ended.

    The script starts as with `python script`: in a new process, its own folder first on the path.
    Where there is no fork, that is what runs it.
    """
    # A script finds its neighbours, whatever the tests' own Python was told.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}

    def run_anew(script, where):
        command = [sys.executable, str(script)]
        return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)

    if not hasattr(os, "fork"):
        yield run_anew
        return
    output, errors = folder / "output", folder / "errors"
    # With `-c` alone the current folder would be first on the path.
    parent = subprocess.Popen(
        [sys.executable, "-P", "-c", PARENT],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(script, where):
        for path in (output, errors):
            path.unlink(missing_ok=True)
        parent.stdin.write(json.dumps([str(each) for each in (script, where, output, errors)]))
        parent.stdin.write("\n")
        parent.stdin.flush()
        ended = int(parent.stdout.readline())
        told = (path.read_text() for path in (output, errors))
        return SimpleNamespace(returncode=ended, stdout=next(told), stderr=next(told))

    try:
        yield run
    finally:
        parent.stdin.close()
        parent.wait(timeout=30)
        parent.stdout.close()
