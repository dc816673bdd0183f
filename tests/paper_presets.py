"""The papers' presets on miniatures: data sets, small networks of the same kind, loops by hand."""

import copy

import image_sets as sets
import torch
import torchvision.models
from PIL import Image
from test_network_segmentation import VGG
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, ResNet

from l2o.configs.load import load_config
from l2o.envs.fine_tuning.processes import OneProcess
from l2o.guidance import LayerMaps
from l2o.service.finetuning.run import Finetuning

PRESETS = ("visda17-asg", "visda17-csg", "gta5-asg", "gta5-csg")
MINIATURE = (
    "pretrained=false",
    "finetuning.device=cpu",
    "task.options.workers=0",
    "task.options.cache=false",
    "task.options.validation=0.4",
    "task.options.target_validation=0.4",
)
DENSE_CROP = "task.options.augment=[{name: scale_crop_mirror, options: {crop: 128}}]"


def small_networks(monkeypatch):
    """Let torchvision build networks of one block a stage, or of few channels."""

    def get_model(name, weights=None, **options):
        assert weights is None
        torch.manual_seed(0)
        if name == "vgg16":
            network = VGG()
            for layer in network.modules():
                if isinstance(layer, torch.nn.Conv2d):
                    torch.nn.init.kaiming_normal_(layer.weight)
            return network
        assert name in ("resnet50", "resnet101")
        return ResNet(Bottleneck, [1, 1, 1, 1], **options)

    monkeypatch.setattr(torchvision.models, "get_model", get_model)


def data_sets(root):
    sets.visda17(root / "visda", images=4)
    sets.gta5(root / "GTA5", images=8)
    sets.cityscapes(root / "Cityscapes", images=2)
    # VGG halves images five times.
    for file in (*(root / "GTA5").rglob("*.png"), *(root / "Cityscapes").rglob("*.png")):
        with Image.open(file) as image:
            larger = image.resize((3 * image.width, 3 * image.height), Image.Resampling.NEAREST)
        larger.save(file)
    return root


def preset(name, root, *more, steps=300):
    """Return a preset on its miniature, of so many steps."""
    if name.startswith("visda17"):
        own = [f"task.options.root={root / 'visda'}", "size=32", "batch_size=4", "epochs=null"]
    else:
        own = [f"task.options.root={root / 'GTA5'}", "batch_size=2", DENSE_CROP]
        own += [f"task.options.cityscapes={root / 'Cityscapes'}", "task.options.size=64"]
    if name.endswith("csg"):
        own.append("finetuning.guidance.contrastive.queue=4096")
    return load_config("finetune", name, [*own, *MINIATURE, f"steps={steps}", *more]).in_full()


def begin(config, out, noise=0.0):
    """Begin a preset; with noise, from weights that the frozen network does not have."""
    run = Finetuning(config, out, OneProcess()).run
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in run.model.parameters():
            size = noise * parameter.std(correction=0)
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return run


class ByHand:
    """Two steps of a preset as the papers have them, written out.

    Args:
        run: a fine-tune that has taken none; its batches are taken.
        config: of it.
        factor: step -> the schedule's factor on the base learning rate.
    """

    def __init__(self, run, config, factor):
        self.run, self.config, self.factor = run, config, factor
        self.model = copy.deepcopy(run.model)
        self.guidance = config.finetuning.guidance
        self.caught, self.queries, self.keys, self.past = None, [], [], []
        if "contrastive" in self.guidance:
            self.caught = LayerMaps(self.model, self.guidance["contrastive"]["layers"])
            networks = run.guidance[0].networks
            self.queries = [copy.deepcopy(network.query) for network in networks]
            self.keys = [copy.deepcopy(network.key) for network in networks]
            self.past = [[] for _ in networks]
        head = {id(p) for p in self.model.get_classifier().parameters()}
        self.parameters = [(p, 1.0 if id(p) in head else 0.1) for p in self.model.parameters()]
        self.parameters += [(p, 1.0) for query in self.queries for p in query.parameters()]
        self.velocity = [torch.zeros_like(p) for p, _ in self.parameters]
        self.terms = []

    def step(self, number):
        """Take a step; note its cross-entropy and the guidance's term."""
        images, labels, teacher = next(self.run._batches)
        features = self.model.forward_features(images)
        outputs = self.model.forward_head(features)
        if labels.dim() == 3:
            size = labels.shape[-2:]
            outputs = functional.interpolate(outputs, size, mode="bilinear", align_corners=False)
        entropy = functional.cross_entropy(outputs, labels, ignore_index=255)
        term = self.contrast(teacher) if self.caught else self.divergence(features, teacher)
        self.terms.append((entropy.item(), term.item()))
        found = torch.autograd.grad(entropy + term, [p for p, _ in self.parameters])
        rate = self.config.base_lr * self.factor(number)
        inside = self.config.finetuning.optimizer.name == "sgd_lr_momentum"
        with torch.no_grad():
            for (p, share), gradient, v in zip(self.parameters, found, self.velocity, strict=True):
                direction = gradient + 5e-4 * p
                v.mul_(0.9).add_(direction, alpha=rate * share if inside else 1.0)
                p.sub_(v if inside else rate * share * v)

    def divergence(self, features, teacher):
        """Return min(weight * KL(teacher || student), cap), the mean over images."""
        given = self.guidance["proxy_kl"]
        log_q = self.run.proxy_head(features).log_softmax(dim=1)
        log_p = teacher["logits"].log_softmax(dim=1)
        assert log_q.dim() == 2
        kl = (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()
        return torch.clamp(given["weight"] * kl, max=given.get("cap", torch.inf))

    def contrast(self, teacher):
        """Return weight * the sum over layers of InfoNCE."""
        given, total = self.guidance["contrastive"], 0.0
        crops = given.get("crops", 1)
        for number, layer in enumerate(given["layers"]):
            query, key, past = self.queries[number], self.keys[number], self.past[number]
            with torch.no_grad():
                for ours, trained in zip(key.parameters(), query.parameters(), strict=True):
                    ours.mul_(0.999).add_(trained, alpha=0.001)
            maps, frozen = cut(self.caught.maps[layer], crops), cut(teacher["maps"][layer], crops)
            attention = (maps * maps.mean(dim=2, keepdim=True)).sum(dim=1)
            attention = attention / attention.sum(dim=1, keepdim=True)
            q = functional.normalize(query((maps * attention[:, None]).sum(dim=2)), dim=1)
            with torch.no_grad():
                k = functional.normalize(key((frozen * attention[:, None]).sum(dim=2)), dim=1)
            logits = torch.cat([(q * k).sum(dim=1, keepdim=True), *(q @ z.T for z in past)], dim=1)
            total = total - (logits / 0.07).log_softmax(dim=1)[:, 0].mean()
            past.append(k)
        return given["weight"] * total


def cut(maps, crops):
    """Return maps `[N, C, H, W]` cut into crops x crops parts `[N crops², C, P]`."""
    parts = maps.unflatten(3, (crops, -1)).unflatten(2, (crops, -1))
    return parts.permute(0, 2, 4, 1, 3, 5).flatten(4).flatten(0, 2)
