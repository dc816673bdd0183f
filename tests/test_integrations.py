"""A controller in accelerate's loop, and what all integrations share."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from loops import (
    STEPS,
    Data,
    Net,
    Watchful,
    adamw,
    adamw_by_layer,
    equal,
    linear_decay,
    multipliers,
    plain_loop,
)

from l2o.integrations.accelerate import attach

OPTIMIZERS = {
    "split by decay": (adamw, {"mode": "update_scale"}),
    "split by layer": (adamw_by_layer, {"mode": "groups"}),
}


@pytest.fixture(autouse=True)
def fresh_state():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def begin(optimize, options, accumulate=1):
    """Return all that a run needs, prepared."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    accelerator = Accelerator(
        cpu=True, gradient_accumulation_steps=accumulate, step_scheduler_with_optimizer=False
    )
    model = Net()
    optimizer = optimize(model)
    model, optimizer, loader, scheduler = accelerator.prepare(
        model, optimizer, Data(STEPS * accumulate).loader(), linear_decay(optimizer)
    )
    controller = attach(accelerator, Watchful(), optimizer, model, total_steps=STEPS, **options)
    return accelerator, model, optimizer, loader, scheduler, controller


def train(accelerator, model, optimizer, loader, scheduler, controller, until=10**9):
    losses = []
    for index, batch in enumerate(loader):
        if index >= until:
            break
        with accelerator.accumulate(model):
            loss = model(**batch)["loss"]
            losses.append(loss.detach())
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                controller.observe(loss=torch.stack(losses).mean())
                losses = []
            optimizer.step()
            if accelerator.sync_gradients:
                scheduler.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("layout", OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_equals_a_plain_loop(accumulate, layout):
    optimize, options = OPTIMIZERS[layout]
    run = begin(optimize, options, accumulate)
    train(*run)
    controller, model = run[-1], run[1]
    policy, reference, wanted = plain_loop(accumulate, optimize, **options)
    assert controller.policy.losses == policy.losses
    assert multipliers(controller) == multipliers(reference)
    assert equal(model, wanted)


@pytest.mark.parametrize("layout", OPTIMIZERS)
def test_save_state_and_load_state_carry_the_controller(layout, tmp_path):
    optimize, options = OPTIMIZERS[layout]
    whole = begin(optimize, options)
    train(*whole)
    first = begin(optimize, options)
    train(*first, until=3)
    first[0].save_state(str(tmp_path / "saved"))
    again = begin(optimize, options)
    again[0].load_state(str(tmp_path / "saved"))
    accelerator, *rest = again
    rest[2] = accelerator.skip_first_batches(rest[2], 3)
    train(accelerator, *rest)
    assert again[-1].report()["steps"] == STEPS
    assert multipliers(again[-1]) == multipliers(whole[-1])[2:]
    assert equal(again[1], whole[1])


def test_an_optimizer_that_was_not_prepared_is_refused():
    model = Net()
    with pytest.raises(TypeError, match=r"that accelerator.prepare returned, got a AdamW"):
        attach(Accelerator(cpu=True), Watchful(), adamw(model), model)


def test_a_missing_library_is_named_with_the_remedy():
    code = """
import importlib, sys
for module, package in ("huggingface", "transformers"), ("lightning",) * 2, ("accelerate",) * 2:
    sys.modules[package] = None
    try:
        importlib.import_module(f"l2o.integrations.{module}")
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f'l2o.integrations.{module} needs {package}: pip install "l2o[{extra}]"'
        for module, package, extra in [
            ("huggingface", "transformers", "hf"),
            ("lightning", "lightning", "lightning"),
            ("accelerate", "accelerate", "accelerate"),
        ]
    ]


PAGE = Path(__file__).parent.parent / "docs" / "integrations.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=["huggingface", "lightning", "accelerate", "plain"])
def test_examples_of_the_page_run(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    AcceleratorState._reset_state(reset_partial_state=True)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "example"})
    assert "interventions" in capsys.readouterr().out or "LRController" not in code
    if "controller.plot" in code:
        assert (tmp_path / "rates.png").exists()
        assert list((tmp_path / "runs" / "events").iterdir())
