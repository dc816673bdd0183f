"""What runs inside Blender: render what is asked for on stdin, a JSON object per line.

Blender runs this file with its own Python, so it imports the standard library and `bpy` alone. A
request has `set` (property path -> value), `show` (the class's objects), `hide` (those of other
classes), `image` and `mask` (files to write), `size` and `seed`. The answer is a line that begins
with `MARK`: "" where all is well, else what went wrong.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MARK = "l2o-answer:"


def find(root: Any, path: list[Any]) -> tuple[Any, Any]:
    """Return what holds a property, and the property's name or index.

    Steps are names of members of a collection, attributes, or indices; nothing is evaluated.
    """
    holder = root
    for step in path[:-1]:
        holder = _step(holder, step)
    return holder, path[-1]


def _step(holder: Any, step: Any) -> Any:
    if isinstance(step, int):
        return holder[step]
    if not str(step).startswith("_") and hasattr(holder, step):
        return getattr(holder, step)
    return holder[step]


def assign(root: Any, path: list[Any], value: Any) -> None:
    """Set the property at a path."""
    holder, last = find(root, path)
    if isinstance(last, int) or not hasattr(holder, last):
        holder[last] = value
    else:
        setattr(holder, last, value)


def render(bpy: Any, asked: dict[str, Any]) -> None:
    """Render the image, then the mask: what is seen of the class's objects, by their alpha."""
    scene = bpy.context.scene
    for path, value in asked["set"]:
        assign(bpy.data, path, value)
    for name in [*asked["show"], *asked["hide"]]:
        bpy.data.objects[name].hide_render = name in asked["hide"]
    if hasattr(scene, "cycles"):
        scene.cycles.seed = asked["seed"] % 2**31
    settings = scene.render
    settings.resolution_x = settings.resolution_y = asked["size"]
    settings.resolution_percentage = 100
    settings.image_settings.file_format = "PNG"
    settings.image_settings.color_mode = "RGBA"
    settings.film_transparent = False
    settings.filepath = asked["image"]
    bpy.ops.render.render(write_still=True)
    others = [each for each in scene.objects if each.name not in asked["show"]]
    before = [each.is_holdout for each in others]
    # What is held out hides what is behind it, and has no alpha of its own.
    for each in others:
        each.is_holdout = True
    settings.film_transparent = True
    settings.filepath = asked["mask"]
    bpy.ops.render.render(write_still=True)
    for each, held in zip(others, before):
        each.is_holdout = held


def main() -> None:
    """Answer requests until stdin ends."""
    import bpy  # type: ignore[import-not-found]  # Blender's own

    for line in sys.stdin:
        try:
            render(bpy, json.loads(line))
            answer = ""
        except Exception as error:  # it is told to who asked, and the process goes on
            answer = f"{type(error).__name__}: {error}"
        print(MARK + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
