"""Learn what to draw: a distribution over a simulator's parameters, for real images of one task.

Shows: REINFORCE over ranges of the simulator of digits, each trial a draw, a training and a
validation on real images; then the learned ranges, and a data set drawn from them. The network and
the budget are tiny, so that it ends in a minute; `l2o train simulator-digits` is the real thing.

    pip install 'l2o[train]'
    python learn_a_simulator.py
"""

from pathlib import Path

from l2o.configs.load import load_config
from l2o.envs.simulators import SIMULATORS
from l2o.envs.simulators.distributions.written import load_distribution
from l2o.policies.reinforce.simulators.train import learn_simulator


def main() -> None:
    """Learn with a handful of fine-tunes, and say what came of it."""
    config = load_config(
        "train",
        "simulator-digits",
        [
            "task.options={split: train, networks: 1, width: 4, pretrain_steps: 40}",
            "search.options.batch=4",
            "trials=8",
            "images=40",
            "finetuning.steps=5",
            "evaluation=0",
        ],
    )
    run = learn_simulator(config, Path("simulator"), resume=True)
    simulator = SIMULATORS["digits"](16)
    learned = load_distribution(run, simulator)
    for name in simulator.parameters:
        ends = learned.ends(name)
        told = f"{ends[0]:.2f} to {ends[1]:.2f}" if ends else str(learned.shares(name))
        print(f"{name}: {told}")
    images, _, _ = simulator.render(learned, 20, seed=0)
    print(f"{len(images)} images of {images.shape[1]} x {images.shape[2]} pixels drawn from it")


if __name__ == "__main__":
    main()
