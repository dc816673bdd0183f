"""The papers' presets: two steps against loops written out by hand, scores, decisions, numbers."""

import copy
import json
import math

import paper_presets as papers
import pytest
import torch

from l2o.configs.load import load_config
from l2o.configs.schema import PolicyChoice
from l2o.deciding.bundle import load_bundle
from l2o.deciding.sampled import Sampled
from l2o.envs.fine_tuning.flip_average import flip_averaged, mean_of_sigmoids
from l2o.envs.fine_tuning.inner_loop import InnerLoop
from l2o.envs.networks.base import Inputs
from l2o.envs.networks.paper_networks import NAMES
from l2o.envs.policy_choice import build_policy
from l2o.envs.tasks.images import ImageOptions
from l2o.envs.tasks.images.augment import scoring_transform, training_transform
from l2o.guidance import ColourJitter, Contrastive, RandAugment
from l2o.guidance.colour_jitter import grey, turn_hue
from l2o.intervals import Windows
from l2o.service.finetuning.run import base_schedule, check, run_finetune

STEPS = {"visda17-asg": 142_890, "gta5-asg": 100_000}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return papers.data_sets(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("L2O_CACHE", str(tmp_path / "cache"))
    papers.small_networks(monkeypatch)


def asg(step, steps, hold=0.8):
    return min(0.01 + 0.99 * (step / 100) ** 2, 1) * (1 - min(step / steps, hold)) ** 0.9


FACTORS = {
    "visda17-asg": lambda step, steps: asg(step, steps),
    "visda17-csg": lambda step, steps: (1 - step / steps) ** 0.9,
    "gta5-asg": lambda step, steps: asg(step, steps, hold=1.0),
    "gta5-csg": lambda step, steps: (1 - step / steps) ** 0.9,
}
BASE = {"visda17-asg": 1.0, "visda17-csg": 0.01, "gta5-asg": 1.0, "gta5-csg": 0.001}


# Steps ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", papers.PRESETS)
def test_two_steps_are_the_papers(name, root, tmp_path):
    given = [f"base_lr={BASE[name]}", "task.options.mode=eval"]
    config = papers.preset(name, root, *given)
    run, twin = (papers.begin(config, tmp_path, noise=0.3) for _ in range(2))
    hand = papers.ByHand(twin, config, lambda i: FACTORS[name](i, 300))
    for step in range(2):
        hand.step(step)
        run.advance(1)
        assert run.last_loss == pytest.approx(hand.terms[step][0], rel=1e-5)
        rates = [group["lr"] for group in run.optimizer.param_groups]
        assert rates == pytest.approx([BASE[name] * FACTORS[name](step, 300)] * len(rates))
        shares = list(run.controller.multipliers.values())
        assert shares[:-1] == pytest.approx([0.1] * (len(rates) - 1))
        assert shares[-1] == 1.0
    assert hand.terms[1][1] > 1e-4
    for (path, ours), theirs in zip(
        run.model.named_parameters(), hand.model.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6, msg=path)
    trained = [p for term in run.guidance for p in term.parameters()]
    for ours, (theirs, _) in zip(trained, hand.parameters[-len(trained) :], strict=False):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5)
    assert len(trained) == (8 if name.endswith("csg") else 0)


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", papers.PRESETS)
def test_a_whole_run_of_two_steps(name, root, tmp_path):
    policy = ["choice.policy=asg-2020"] if name.endswith("asg") else []
    config = papers.preset(name, root, "evaluations=1", *policy, steps=2)
    check(config)
    results = json.loads(run_finetune(config, tmp_path / "run").read_text())
    assert results["metric"] == ("mean_class_accuracy" if name.startswith("visda") else "miou")
    assert results["selected"]["rule"] == "target"
    decided = results["learning_rates"]
    assert decided["step"][0] == 0
    if policy:
        assert decided["groups"] == list(config.groups)
        # The factor at the first decision is 0.01 of the warm-up times a factor that was drawn.
        drawn = [round(m / 0.01, 6) for m in decided["multipliers"][0]]
        assert all(math.isclose(10 * m, round(10 * m), abs_tol=1e-4) for m in drawn)


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
@pytest.mark.parametrize("name", ["visda17-asg", "gta5-asg"])
def test_a_run_under_the_policy_goes_on_as_if_it_had_never_stopped(name, root, tmp_path):
    alone = ["base_lr_schedule=null"] if name == "visda17-asg" else []
    short = "finetuning.interval={name: asg_release, options: {first: 1, epochs: 4}}"
    config = papers.preset(name, root, "choice.policy=asg-2020", short, *alone, steps=4)
    whole, first, second = (papers.begin(config, tmp_path) for _ in range(3))
    for run, steps in ((whole, 4), (first, 2)):
        for _ in range(steps):
            run.advance(1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(2):
        second.advance(1)
    assert second.controller.multipliers == whole.controller.multipliers
    for ours, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    rates = {group["lr"] for group in second.optimizer.param_groups}
    wanted = config.base_lr * (1.0 if alone else asg(3, 4, hold=1.0))
    assert sorted(rates) == pytest.approx([wanted])


# Settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
def test_decisions_are_the_releases(name):
    loop = load_config("finetune", name).finetuning.model_copy(update={"device": "cpu"})
    ends = Windows(InnerLoop.of(loop).interval, STEPS[name]).ends(STEPS[name])
    # Counted at the ends of windows, the last left out.
    if name == "gta5-asg":
        assert len(ends) - 1 == 84
        return
    each = [sum(4763 * e < end <= 4763 * (e + 1) for end in ends) for e in range(30)]
    assert sum(each) - 1 == 66
    assert each[0] == 10
    assert each[20:] == [1] * 10


@pytest.mark.parametrize("name", papers.PRESETS)
def test_schedules_of_the_whole_length(name):
    config, steps = load_config("finetune", name), STEPS.get(name, 1000)
    schedule = base_schedule(config).of_length(steps)
    at = [0, 1, 99, 100, 500, steps // 2, int(0.9 * steps)]
    found = schedule(torch.tensor(at, dtype=torch.float64) / steps)
    assert found.tolist() == pytest.approx([FACTORS[name](i, steps) for i in at])


def test_the_networks_are_those_that_are_named(monkeypatch):
    monkeypatch.undo()
    from torchvision.models import get_model

    names = {n: load_config("finetune", n).in_full().task.options["network"] for n in FACTORS}
    assert names["visda17-asg"] == names["visda17-csg"] == "torchvision:resnet101.IMAGENET1K_V1"
    assert NAMES[names["gta5-asg"].removeprefix("l2o:")] == "vgg16"
    assert NAMES[names["gta5-csg"].removeprefix("l2o:")] == "resnet101"
    with torch.device("meta"):
        network = get_model("resnet101")
    assert [len(getattr(network, f"layer{k}")) for k in (1, 2, 3, 4)] == [3, 4, 23, 3]
    assert network.fc.in_features == 2048


def test_the_head_and_the_mode_of_visda(root, tmp_path):
    run = papers.begin(papers.preset("visda17-asg", root), tmp_path)
    head = run.model.get_classifier()
    assert [tuple(p.shape) for p in head.parameters()] == [(512, 2048), (512,), (12, 512), (12,)]
    assert not any(module.training for module in run.model.modules())
    run.scores("target_test")
    run.advance(1)
    assert not any(module.training for module in run.model.modules())
    names = [group.name for group in run.controller.groups]
    assert names == ["conv1", "layer1", "layer2", "layer3", "layer4", "head"]
    count = sum(len(group.parameters) for group in run.controller.groups)
    assert count == len(list(run.model.parameters()))


@pytest.mark.filterwarnings("ignore:1 scenes of GTA5")
def test_dropout_of_fcn8s_is_on_unless_it_is_said(root, tmp_path):
    for more, on in (((), True), (("task.options.mode=eval",), False)):
        run = papers.begin(papers.preset("gta5-asg", root, *more), tmp_path)
        assert run.model.dropout.training is on
        names = [group.name for group in run.controller.groups]
        assert names == ["conv1_2", "conv3", "conv4", "conv5", "fc", "head"]


def test_eval_mode_and_trained_batch_norm_exclude_each_other():
    with pytest.raises(ValueError, match="mode=eval freezes batch norm"):
        ImageOptions(mode="eval", batch_norm="trained")
    with pytest.raises(ValueError, match="mode='test' is none of train, eval"):
        ImageOptions(mode="test")


def test_the_cap_holds_the_weighted_divergence():
    loop = load_config("finetune", "gta5-asg").in_full().finetuning
    term = InnerLoop.of(loop.model_copy(update={"device": "cpu"})).guidance["proxy_kl"]
    teacher = torch.tensor([[math.log(3.0), 0.0]])
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert 75 * kl > 9
    assert float(term(torch.zeros(1, 2), teacher)) == 9.0
    half = torch.cat([torch.zeros(1, 2), teacher]), teacher.expand(2, 2)
    assert float(term(*half)) == pytest.approx(75 * kl / 2, rel=1e-5)


# Scoring ----------------------------------------------------------------------------------------


def test_scores_are_of_the_mean_of_two_sigmoids(root, tmp_path):
    run = papers.begin(papers.preset("visda17-asg", root), tmp_path)
    model, hits = run.model, torch.zeros(12, 2)
    plain = []
    for images, labels in run.scoring.batches("target_test"):
        with torch.no_grad():
            both = (model(images).sigmoid() + model(images.flip(3)).sigmoid()) / 2
        right = both.argmax(dim=1) == labels
        plain.append(both)
        for label, hit in zip(labels.tolist(), right.tolist(), strict=True):
            hits[label] += torch.tensor([hit, 1.0])
    found = run.scores("target_test")
    shares = (hits[:, 0] / hits[:, 1])[hits[:, 1] > 0]
    assert found["mean_class_accuracy"] == pytest.approx(float(shares.mean()), abs=1e-6)
    assert found["accuracy"] == pytest.approx(float(hits[:, 0].sum() / hits[:, 1].sum()), abs=1e-6)
    given = torch.cat([batch.logits for batch in run.outputs("target_test")])
    torch.testing.assert_close(given.sigmoid(), torch.cat(plain))


def test_mean_of_sigmoids_to_the_number():
    one, other = torch.tensor([2.0, -1.0, 40.0, 300.0]), torch.tensor([0.0, -1.0, -40.0, 100.0])
    mean = (one.double().sigmoid() + other.double().sigmoid()) / 2
    found = mean_of_sigmoids(one, other)
    wanted = torch.logit(mean)
    torch.testing.assert_close(found[:3], wanted[:3].float(), atol=1e-6, rtol=1e-5)
    # Beyond what a sigmoid tells apart, order is kept.
    assert float(found[3]) == pytest.approx(100.0 + math.log(2.0))
    maps = flip_averaged(lambda images: images[:, :1])
    assert torch.equal(maps(torch.tensor([[[[1.0, 5.0]]]])), torch.tensor([[[[1.0, 5.0]]]]))


def test_centre_is_how_images_are_scored():
    inputs = Inputs(size=(16, 16), crop_share=0.8)
    image = torch.randint(256, (3, 40, 30), dtype=torch.uint8)
    wanted = scoring_transform(inputs)(image)
    assert torch.equal(training_transform(["centre"], inputs)(image), wanted)
    assert wanted.shape == (3, 16, 16)
    from l2o.configs.schema import Named

    whole = Named(name="centre", options={"resize": 16})
    assert not torch.equal(training_transform([whole], inputs)(image), wanted)
    with pytest.raises(ValueError, match="resize=8 is less than the 16"):
        training_transform([Named(name="centre", options={"resize": 8})], inputs)


# Policies that draw -----------------------------------------------------------------------------


def observation():
    return torch.ones(6, 7)


def drawn(policy, decisions, state=None):
    state = policy.initial_state(6) if state is None else state
    found = []
    for _ in range(decisions):
        factors, state = policy(observation(), state)
        found.append(factors)
    return torch.stack(found), state


def test_factors_are_drawn_from_the_categorical():
    policy = load_bundle("asg-2020-memoryless")
    probabilities = torch.rand(6, 11).softmax(dim=-1)
    policy.network.forward = lambda observation, state: (probabilities.log(), None, None)
    factors, _ = drawn(Sampled(policy, seed=1), 2000)
    counts = (factors[..., None] - torch.tensor(policy.multipliers.values)).abs().argmin(dim=-1)
    shares = torch.stack([(counts == k).float().mean(dim=0) for k in range(11)], dim=-1)
    assert (shares - probabilities).abs().max() < 0.05


def test_draws_follow_seed_run_and_decision():
    policy = load_bundle("asg-2020")
    whole, _ = drawn(Sampled(policy), 6)
    first, state = drawn(Sampled(policy), 3)
    rest, _ = drawn(Sampled(policy), 3, state)
    assert torch.equal(whole, torch.cat([first, rest]))
    before = torch.get_rng_state()
    for other in (Sampled(policy, seed=1), Sampled(policy).for_run(0, 1)):
        assert not torch.equal(drawn(other, 6)[0], whole)
    assert torch.equal(torch.get_rng_state(), before)
    built = build_policy(PolicyChoice(policy="asg-2020", sample=True), run=(0, 1))
    assert torch.equal(drawn(built, 6)[0], drawn(Sampled(policy, run=(0, 1)), 6)[0])


def test_only_policies_that_choose_among_factors_draw():
    with pytest.raises(ValueError, match=r"choice\.sample=false"):
        build_policy(PolicyChoice(policy="asg-base", sample=True))
    with pytest.raises(ValueError, match="seed must be"):
        Sampled(load_bundle("asg-2020"), seed=-1)


# Views ------------------------------------------------------------------------------------------


def test_views_of_normalised_images():
    options = load_config("finetune", "visda17-csg").finetuning.guidance["contrastive"]["augment"]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    images = torch.rand(8, 3, 12, 12)
    ours = RandAugment(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
    torch.manual_seed(3)
    found = ours((images - mean) / std)
    torch.manual_seed(3)
    torch.testing.assert_close(found * std + mean, RandAugment()(images), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="give it the range of your images"):
        RandAugment()((images - mean) / std)
    with pytest.raises(ValueError, match="1 channels"):
        ours(images[:, :1])
    with pytest.raises(ValueError, match="black must be below white"):
        RandAugment(low=(0.0, 0.0, 1.0))


def test_colour_jitter_changes_colours_to_the_number():
    images = torch.rand(4, 3, 5, 5)
    unchanged = ColourJitter(0.0, 0.0, 0.0, 0.0)(images)
    torch.testing.assert_close(unchanged, images, atol=1e-5, rtol=1e-5)
    torch.manual_seed(1)
    found = ColourJitter(brightness=0.4, contrast=0.0, saturation=0.0, hue=0.0)(images)
    torch.manual_seed(1)
    factor = 1 + 0.4 * (2 * torch.rand(4, 1, 1, 1) - 1)
    torch.testing.assert_close(found, (images * factor).clamp(0, 1), atol=1e-5, rtol=1e-5)
    colours = torch.tensor([[1.0, 0.0, 0.0], [0.2, 0.6, 0.4]]).view(2, 3, 1, 1)
    turned = turn_hue(colours, torch.full((2, 1, 1, 1), 1 / 3))
    torch.testing.assert_close(turned, colours.roll(1, dims=1))
    torch.testing.assert_close(grey(colours).flatten(), torch.tensor([0.299, 0.4576]))


def test_hue_turns_as_torchvisions():
    from torchvision.transforms.v2.functional import adjust_hue

    images = torch.rand(3, 3, 6, 6)
    for turn in (-0.4, 0.1, 0.4):
        wanted = adjust_hue(images, turn)
        found = turn_hue(images, torch.full((3, 1, 1, 1), turn))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_keys_of_another_kind_need_new_views_in_each_step():
    with pytest.raises(ValueError, match="key_augment needs views=0"):
        Contrastive(key_augment="colour_jitter")
    made = Contrastive(augment=None, key_augment={"name": "colour_jitter", "hue": 0.1}, views=0)
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(made.augment(images), images)
    assert not torch.equal(made.key_augment(images), images)
    with pytest.raises(ValueError, match="Did you mean 'colour_jitter'"):
        Contrastive(key_augment="colour_jiter", views=0)
