"""Blender as a process that answers: started when needed, ended when it hangs."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from l2o.envs.simulators.base import Pixels
from l2o.envs.simulators.blender.inside import MARK
from l2o.envs.simulators.faults import RendererDiedError

_LINES = 20
"""Of its last output that an error tells."""


def find_blender(command: str) -> str:
    """Return the path of Blender's program.

    Raises:
        ValueError: it is not there; the message tells where to get it.
    """
    found = shutil.which(command)
    if found is None:
        raise ValueError(
            f"command={command!r} is not found, and the simulator needs Blender: install it "
            "(apt install blender, or blender.org), or give the path of its program as `command`"
        )
    return found


class BlenderProcess:
    """Renders requests one by one in a Blender without a window.

    Scripts inside the scene are not run (`--disable-autoexec`), and the user's settings and add-ons
    are not loaded (`--factory-startup`).

    Args:
        command: Blender's program.
        scene: the .blend file.
        timeout: seconds that one image may take.
    """

    def __init__(self, command: str, scene: Path, timeout: float) -> None:
        self._command, self._scene, self._timeout = command, scene, timeout
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._last: list[str] = []

    def render(self, asked: Mapping[str, Any]) -> tuple[Pixels, Pixels]:
        """Return image `[H, W, 3]` and mask `[H, W]` (0 or 1) of a request.

        Raises:
            ValueError: the scene has no such object or property.
            RendererDiedError: Blender ended, or did not answer in time; it is begun anew next time.
        """
        with tempfile.TemporaryDirectory(prefix="l2o-blender-") as folder:
            image, mask = Path(folder) / "image.png", Path(folder) / "mask.png"
            error = self._ask({**asked, "image": str(image), "mask": str(mask)})
            if error:
                raise ValueError(f"scene {self._scene}: {error}")
            try:
                return _read(image)[..., :3], (_read(mask)[..., 3] > 127).astype(np.uint8)
            except OSError as missing:
                raise RendererDiedError(f"Blender wrote no image ({missing})") from missing

    def _ask(self, request: Mapping[str, Any]) -> str:
        process = self._started()
        assert process.stdin is not None  # it is a pipe
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:
            raise self._died() from None
        while True:
            try:
                line = self._lines.get(timeout=self._timeout)
            except queue.Empty:
                self.close()
                raise RendererDiedError(
                    f"Blender did not answer within {self._timeout:g} s; raise `timeout`, or "
                    "render fewer samples"
                ) from None
            if line is None:
                raise self._died()
            if line.startswith(MARK):
                answer: str = json.loads(line.removeprefix(MARK))
                return answer
            self._last = [*self._last, line.rstrip()][-_LINES:]

    def _died(self) -> RendererDiedError:
        code = self._process.wait(timeout=10) if self._process is not None else None
        self.close()
        told = f" Its last words: {' | '.join(self._last[-3:])}" if self._last else ""
        return RendererDiedError(f"Blender ended with exit code {code}.{told}")

    def _started(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        script = str(Path(__file__).resolve().with_name("inside.py"))
        words = [self._command, "--background", "--factory-startup", "--disable-autoexec"]
        words += [str(self._scene), "--python", script]
        self._lines, self._last = queue.Queue(), []
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None  # it is a pipe
        threading.Thread(
            target=_pump, args=(self._process.stdout, self._lines), daemon=True
        ).start()
        return self._process

    def close(self) -> None:
        """End the process, if there is one. Twice is once."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        process.wait(timeout=10)


def _pump(pipe: IO[str], lines: queue.Queue[str | None]) -> None:
    """Put lines where they can be waited for with a limit; None at the end."""
    with contextlib.suppress(ValueError, OSError):
        for line in pipe:
            lines.put(line)
    lines.put(None)


def _read(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGBA"))
