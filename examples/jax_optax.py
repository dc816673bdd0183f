"""Learning rates of a server, layer by layer, in a JAX loop with an optax optimizer.

Shows: optax makes the direction of a step (here with momentum), the policy how far each layer
goes. Nothing of l2o or torch is imported; without a server's URL one is started, which needs
'l2o[serve]'.

    pip install jax optax
    python jax_optax.py [URL TOKEN]
"""

import math
import sys
from itertools import pairwise

import jax
import jax.numpy as jnp
import optax
from service_client import Control, server

STEPS, WIDTHS = 100, (8, 32, 32, 2)


def network(layers, inputs):
    """Return what a small network says."""
    for weights, bias in layers[:-1]:
        inputs = jnp.tanh(inputs @ weights + bias)
    weights, bias = layers[-1]
    return inputs @ weights + bias


def loss_of(layers, inputs, labels):
    """Return the cross-entropy."""
    logits = network(layers, inputs)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@jax.jit
def measure(before, layers, gradients, start):
    """Return what the policy is told of each layer: norms of it as a whole, and a product."""

    def norm(tree):
        return optax.tree.norm(tree)

    def minus(first, second):
        return jax.tree.map(jnp.subtract, first, second)

    rows = []
    for was, now, gradient, began in zip(before, layers, gradients, start, strict=True):
        moved = minus(was, now)
        product = optax.tree.vdot(gradient, moved)
        drift = norm(minus(now, began))
        rows.append(jnp.stack([norm(now), norm(gradient), norm(moved), product, drift]))
    return jnp.stack(rows, axis=1)


def main(url, token):
    """Train for a moment; return the losses and the learning rates at the end."""
    keys = jax.random.split(jax.random.key(0), len(WIDTHS))
    layers = [
        (jax.random.normal(key, (a, b)) / math.sqrt(a), jnp.zeros(b))
        for key, (a, b) in zip(keys, pairwise(WIDTHS), strict=False)
    ]
    inputs = jax.random.normal(keys[-1], (256, WIDTHS[0]))
    labels = (inputs[:, 0] * inputs[:, 1] > 0).astype(int)
    groups = [
        {"name": f"layer{i}", "size": a * b + b, "inputs": a, "vectors": 0.5}
        for i, (a, b) in enumerate(pairwise(WIDTHS))
    ]
    groups[-1]["is_head"] = True
    start, losses = layers, []
    control = Control(
        *(url, token, groups),
        base_lr=0.1,
        total_steps=STEPS,
        optimizer="sgd, momentum 0.9",
        weight_norm=[float(optax.tree.norm(layer)) for layer in layers],
    )
    direction = optax.trace(decay=0.9)
    state = direction.init(layers)
    step = jax.jit(jax.value_and_grad(loss_of))
    for _ in range(STEPS):
        loss, gradients = step(layers, inputs, labels)
        moves, state = direction.update(gradients, state, layers)
        moves = [
            jax.tree.map(lambda m, r=rate: -r * m, move)
            for move, rate in zip(moves, control.rates, strict=True)
        ]
        before, layers = layers, optax.apply_updates(layers, moves)
        losses.append(float(loss))
        if control.note(losses[-1]):
            control.decide(measure(before, layers, gradients, start).tolist())
    return losses, control.rates


if __name__ == "__main__":
    with server(sys.argv[1:3]) as (url, token):
        losses, rates = main(url, token)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    print("learning rates at the end:", *(f"{rate:.2e}" for rate in rates))
