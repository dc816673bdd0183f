"""A small training, and variants of it."""

TRAIN = """
task: {name: "tiny:TinyFamily"}
finetuning: {interval: 5}
environment:
  optimizers:
    - {name: sgd, base_lr: [0.01, 0.1]}
    - {name: adamw, base_lr: [0.001, 0.01]}
  guidance_weights: {proxy_kl: [0.03, 3.0]}
  guidance_absent: 0.3
  group: 2
  signal_dropout: 0.3
network: {hidden: 8}
algorithm: {name: ppo, options: {decisions: 16, minibatches: 2, epochs: 2}}
workers: 1
environments: 4
checkpoint_every: 1
evaluation: {every: 100, drawn: 2}
"""


FEW = ["present", "is_head", "depth", "size", "multiplier", "base_lr", "gradient_norm"]


VARIANTS = {
    "base": {},
    "few signals": {"group": "signals", "changes": {"environment.signals": FEW}},
    "evolution": {"group": "algorithm", "changes": {"algorithm": {"name": "evolution"}}},
    "smaller": {"group": "network", "against": "few signals", "changes": {"network.hidden": 4}},
    "shifted": {"group": "control", "seed_shift": 10},
}
