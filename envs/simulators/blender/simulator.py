"""A user's Blender scene as a simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from l2o.checks import check_number
from l2o.envs.simulators.base import Pixels, Simulator
from l2o.envs.simulators.blender.parameters import read_parameters
from l2o.envs.simulators.blender.process import BlenderProcess, find_blender
from l2o.envs.simulators.dimensions import Value


class BlenderSimulator(Simulator):
    """Renders a .blend file, its properties set from parameters.

    Blender runs without a window, as a process of its own that is kept for the next image. Each
    class is one or more objects of the scene: those of the class are rendered, those of other
    classes hidden. The mask is where the class's objects are seen, by a second render in which all
    else is held out. A point gives each property one value, so that what varies from image to image
    is what a distribution over points draws.

    Args:
        scene: the .blend file.
        parameters: per parameter the `property` that it sets (a path below `bpy.data`, or several),
            `low`, `high` and `default` (`kind: integer` for whole numbers), or `choices` and
            `default`; `about` says what it means.
        classes: name of the class -> name of its object, or of several.
        size: height and width of images, in pixels.
        command: Blender's program.
        timeout: seconds that one image may take.

    Raises:
        ValueError: Blender or the scene is not there, or what is given is impossible.

    Example:
        >>> simulator = BlenderSimulator(  # doctest: +SKIP
        ...     "parts.blend",
        ...     {"lamp": {"property": 'objects["Lamp"].data.energy', "low": 10.0, "high": 900.0,
        ...               "default": 100.0}},
        ...     {"bolt": "Bolt", "nut": "Nut"},
        ... )
    """

    name: ClassVar[str] = "blender"

    def __init__(
        self,
        scene: str,
        parameters: Mapping[str, Mapping[str, Any]],
        classes: Mapping[str, Any],
        size: int = 64,
        command: str = "blender",
        timeout: float = 120.0,
    ) -> None:
        super().__init__(size)
        path = Path(scene)
        if not path.is_file():
            raise ValueError(f"scene {scene!r} is no file; give the path of a .blend file")
        if not classes:
            raise ValueError("classes={} leaves nothing to render; name an object for each class")
        check_number("timeout", timeout, above=True)
        self.parameters, self._paths = read_parameters(parameters)
        self.classes = tuple(classes)
        self.mask_classes = ("ground", "object")
        self._objects = {
            name: [told] if isinstance(told, str) else list(told) for name, told in classes.items()
        }
        self._given = find_blender(command), path.resolve(), float(timeout)
        self._process: BlenderProcess | None = None

    def draw(
        self, point: Mapping[str, Value], label: int, generator: np.random.Generator
    ) -> tuple[Pixels, Pixels]:
        """Render one image `[H, W, 3]` and where its class is `[H, W]`.

        Raises:
            ValueError: the scene has no such object or property.
            RendererDiedError: Blender ended, or did not answer in time.
        """
        shown = self._objects[self.classes[label]]
        every = {name for names in self._objects.values() for name in names}
        asked = {
            "set": [[path, point[name]] for name in point for path in self._paths[name]],
            "show": shown,
            "hide": sorted(every - set(shown)),
            "size": self.size,
            "seed": int(generator.integers(2**31)),
        }
        if self._process is None:
            self._process = BlenderProcess(*self._given)
        return self._process.render(asked)

    def close(self) -> None:
        """End Blender; the next image begins it anew."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels to workers: each has a Blender of its own."""
        return {**self.__dict__, "_process": None}

    def __del__(self) -> None:
        """End Blender with the simulator."""
        if getattr(self, "_process", None) is not None:
            self.close()
