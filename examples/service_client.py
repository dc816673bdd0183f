"""A client of `l2o serve` in plain Python, without torch or l2o: to be copied to any language.

Shows: how a training loop anywhere asks a server for its learning rates. `docs/service-protocol.md`
has the formulas. Without a server's URL it starts one for itself, which needs 'l2o[serve]'.

    python service_client.py [URL TOKEN]
"""

import http.client
import json
import math
import random
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

QUANTITIES = ("weight_norm", "gradient_norm", "update_norm", "gradient_dot_update", "drift_norm")


class Control:
    """One control session: `rates` has the learning rate of each layer group for the next step."""

    def __init__(self, url, token, groups, **run):
        self.server = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        self.token, self.steps, self.losses = token, 0, []
        self.take(self.ask("/v1/sessions", {"policy": "asg-base", "groups": groups, **run}))

    def ask(self, path, body):
        """Post to the server, and return what it says."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        self.server.request("POST", path, json.dumps(body), headers)
        answer = self.server.getresponse()
        told = json.loads(answer.read())
        if answer.status >= 300:
            raise RuntimeError(f"{told['detail']}; {told.get('remedy', '')}")
        return told

    def take(self, answer):
        """Take an answer's learning rates, which hold until the next decision."""
        self.session, self.next = answer["session"], answer["next_step"]
        self.rates = answer["learning_rates"]

    def note(self, loss):
        """Take note of a step that was done; return whether a decision is due."""
        self.steps += 1
        self.losses.append(loss)
        return self.steps == self.next

    def decide(self, measured):
        """Tell the server what was measured, as `measure` returns it, and take its answer."""
        told = {"step": self.steps, "loss": sum(self.losses) / len(self.losses)}
        told |= zip(QUANTITIES, measured)
        self.losses = []
        self.take(self.ask(f"/v1/sessions/{self.session}/decisions", told))


def measure(before, after, gradients, start):
    """Return the five quantities of a step, each as a list over the layer groups."""
    moved = [[a - b for a, b in zip(x, y)] for x, y in zip(before, after)]  # minus the update
    away = [[a - b for a, b in zip(x, y)] for x, y in zip(after, start)]
    products = [sum(a * b for a, b in zip(x, y)) for x, y in zip(gradients, moved)]
    return norms(after), norms(gradients), norms(moved), products, norms(away)


def norms(groups):
    """Return the Euclidean norm of each layer group's numbers."""
    return [math.sqrt(sum(x * x for x in numbers)) for numbers in groups]


def train(url, token, steps=60, hidden=4):
    """Learn y = x₁ - 2 x₂ with two layers, w₂ · (w₁ x), by gradient descent; return the losses."""
    draw = random.Random(0).gauss
    weights = [[draw(0, 0.7) for _ in range(2 * hidden)], [draw(0, 0.7) for _ in range(hidden)]]
    start, losses = [list(w) for w in weights], []
    groups = [
        {"name": "first", "size": 2 * hidden, "inputs": 2, "vectors": 0},
        {"name": "head", "size": hidden, "inputs": hidden, "vectors": 0, "is_head": True},
    ]
    run = {"base_lr": 0.1, "total_steps": steps, "weight_norm": norms(weights)}
    control = Control(url, token, groups, **run)
    for _ in range(steps):
        x1, x2 = draw(0, 1), draw(0, 1)
        first, head = weights
        units = [first[2 * i] * x1 + first[2 * i + 1] * x2 for i in range(hidden)]
        error = sum(a * b for a, b in zip(head, units)) - (x1 - 2 * x2)
        losses.append(error * error / 2)
        gradients = [[error * h * x for h in head for x in (x1, x2)], [error * u for u in units]]
        before = weights
        weights = [
            [w - rate * g for w, g in zip(numbers, gradient)]
            for numbers, gradient, rate in zip(weights, gradients, control.rates)
        ]
        if control.note(losses[-1]):
            control.decide(measure(before, weights, gradients, start))
    return losses, control.rates


@contextmanager
def server(arguments):
    """Give URL and token of the server that was named, or of one started for the moment."""
    if arguments:
        yield arguments
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "l2o", "serve", "--port", "0", "--data", folder]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        told = (json.loads(line) for line in process.stderr if line.startswith("{"))
        url = next(line["url"] for line in told if "url" in line)
        try:
            yield url, Path(folder, "token").read_text().split()[0]
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    with server(sys.argv[1:3]) as (url, token):
        losses, rates = train(url, token)
    print(f"loss {sum(losses[:10]) / 10:.3f} -> {sum(losses[-10:]) / 10:.3f}")
    print("learning rates at the end:", *(f"{rate:.2e}" for rate in rates))
