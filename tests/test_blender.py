"""A Blender scene as a simulator: a real one where Blender is installed, else what speaks as it."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from commands import run

from l2o.envs.simulators import SIMULATORS
from l2o.envs.simulators.blender.inside import assign
from l2o.envs.simulators.blender.parameters import parse_path
from l2o.envs.simulators.faults import RendererDiedError

PARAMETERS = {
    "lamp": {
        "property": 'objects["Lamp"].data.energy',
        "low": 0.0,
        "high": 1000.0,
        "default": 100.0,
        "about": "strength of the lamp",
    },
    "engine": {"property": 'scenes["Scene"].render.engine', "choices": ["A", "B"], "default": "A"},
}
CLASSES = {"cube": "Cube", "ball": ["Ball", "Ring"]}
STUB = """#!{python} -S
import json, os, sys, time
sys.path.append({site!r})
import numpy as np
from PIL import Image
print("Blender 4.2 (stub)", *sys.argv[1:4], flush=True)
{before}
for line in sys.stdin:
    asked = json.loads(line)
    values = {{str(path[-1]): value for path, value in asked["set"]}}
    {within}
    size = asked["size"]
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[..., 0] = int(values["energy"]) % 256
    pixels[..., 1] = 10 * len(asked["show"])
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(asked["image"])
    pixels[: size // 2, :, 3] = 0
    Image.fromarray(pixels).save(asked["mask"])
    print("l2o-answer:" + json.dumps(""), flush=True)
"""


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.blend"
    path.write_bytes(b"BLENDER")
    return path


@pytest.fixture
def stub(tmp_path, scene):
    site = str(next(p for p in sys.path if p.endswith("site-packages")))

    def make(before="", within="", **more):
        program = tmp_path / "blender-stub"
        text = STUB.format(python=sys.executable, site=site, before=before, within=within)
        program.write_text(text)
        program.chmod(0o755)
        given = {"size": 16, "command": str(program), "timeout": 20.0, **more}
        return SIMULATORS["blender"](str(scene), PARAMETERS, CLASSES, **given)

    return make


def test_parameters_set_properties_and_classes_are_objects(stub):
    simulator = stub()
    images, labels, masks = simulator.render({"lamp": 200.0}, 4, seed=0)
    assert simulator.classes == ("cube", "ball")
    assert set(images[..., 0].ravel()) == {200}
    shown = images[:, 0, 0, 1] // 10
    assert shown.tolist() == [1 + label for label in labels]
    assert masks[:, :8].max() == 0
    assert masks[:, 8:].min() == 1
    again = pickle.loads(pickle.dumps(simulator))  # as it travels to workers
    assert np.array_equal(again.render({"lamp": 200.0}, 4, seed=0).images, images)
    process = simulator._process._process
    simulator.close()
    assert process.poll() is not None
    again.close()


def test_a_renderer_that_dies_once_is_tried_again(stub, tmp_path):
    mark = tmp_path / "died"
    simulator = stub(
        within=f"if not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); os._exit(139)"
    )
    assert simulator.render({}, 1, seed=0).images.shape == (1, 16, 16, 3)
    assert mark.exists()
    simulator.close()


def test_a_renderer_that_always_dies_is_said(stub):
    simulator = stub(before="print('out of memory', flush=True); os._exit(7)")
    with pytest.raises(RendererDiedError, match=r"exit code 7.*out of memory.*tried 3 times"):
        simulator.render({}, 1, seed=0)


def test_one_that_hangs_is_ended(stub):
    simulator = stub(within="time.sleep(60)", timeout=0.4)
    with pytest.raises(RendererDiedError, match=r"did not answer within 0\.4 s"):
        simulator._render_once({}, 0, 0, 0)
    with pytest.raises(RendererDiedError, match="did not answer"):
        simulator.draw(simulator.parameters.default, 0, np.random.default_rng(0))
    assert simulator._process._process is None


def test_what_the_scene_lacks_is_an_error(stub):
    simulator = stub(
        within="print('l2o-answer:' + json.dumps('KeyError: Lamp'), flush=True); continue"
    )
    with pytest.raises(ValueError, match=r"scene\.blend: KeyError: Lamp"):
        simulator.render({}, 1, seed=0)
    simulator.close()


def test_blender_that_is_missing_is_named_with_where_to_get_it(scene, tmp_path):
    with pytest.raises(ValueError, match=r"'no-such-blender' is not found.*apt install blender"):
        SIMULATORS["blender"](str(scene), PARAMETERS, CLASSES, command="no-such-blender")
    config = tmp_path / "mine.yaml"
    config.write_text(
        f"simulator: {{name: blender, options: {{scene: {scene}, command: no-such-blender, "
        "parameters: {lamp: {property: objects.Lamp.data.energy, low: 0.0, high: 1.0, "
        "default: 0.5}}, classes: {cube: Cube}}}\n"
    )
    done = run("simulate", config, "--out", tmp_path / "renders")
    assert done.exit_code == 2
    assert "apt install blender" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scene": "nowhere.blend"}, "is no file"),
        ({"classes": {}}, "leaves nothing"),
        ({"parameters": {"lamp": {"low": 0.0}}}, "no `property`"),
        ({"parameters": {"lamp": {"property": "energy"}}}, "no path below bpy.data"),
        ({"parameters": {"lamp": {"property": "a.b()"}}}, "no path below"),
        ({"parameters": {"lamp": {"property": "a.b", "kind": "number"}}}, "'number'"),
        ({"parameters": {"lamp": {"property": "a.b", "low": 0.0}}}, "parameter 'lamp'.*missing"),
        ({"timeout": 0.0}, "timeout"),
    ],
)
def test_impossible_scenes_are_refused(scene, change, message):
    given = {"scene": str(scene), "parameters": PARAMETERS, "classes": CLASSES, **change}
    with pytest.raises(ValueError, match=message):
        SIMULATORS["blender"](**given, command=sys.executable)


def test_paths_are_walked_and_never_evaluated():
    assert parse_path('objects["Key light"].location[2]') == [
        "objects",
        "Key light",
        "location",
        2,
    ]

    class Lamp:
        energy = 1.0
        location = [0.0, 0.0, 0.0]

    class Root:
        objects = {"Key light": Lamp()}

    assign(Root, parse_path('objects["Key light"].energy'), 5.0)
    assign(Root, parse_path('objects["Key light"].location[2]'), 3.0)
    assert (Root.objects["Key light"].energy, Root.objects["Key light"].location[2]) == (5.0, 3.0)
    with pytest.raises((KeyError, TypeError)):
        assign(Root, ["__class__", "x"], 1)


@pytest.mark.skipif(shutil.which("blender") is None, reason="Blender is not installed")
def test_a_real_scene(tmp_path):
    scene = tmp_path / "real.blend"
    make = (
        "import bpy; bpy.ops.wm.read_factory_settings(use_empty=False); "
        "bpy.ops.mesh.primitive_uv_sphere_add(location=(0, 0, 0)); "
        "bpy.context.scene.render.engine = 'CYCLES'; bpy.context.scene.cycles.samples = 2; "
        f"bpy.ops.wm.save_as_mainfile(filepath={str(scene)!r})"
    )
    subprocess.run(["blender", "--background", "--python-expr", make], check=True, timeout=300)
    lamp = {"property": 'objects["Light"].data.energy', "low": 0.0, "high": 9e3, "default": 1e3}
    simulator = SIMULATORS["blender"](
        str(scene), {"lamp": lamp}, {"cube": "Cube", "ball": "Sphere"}, size=32
    )
    dark = simulator.render({"lamp": 0.0}, 2, seed=0)
    light = simulator.render({"lamp": 5000.0}, 2, seed=0)
    assert light.images.mean() > dark.images.mean()
    assert 0.05 < light.masks.mean() < 0.95
    simulator.close()
