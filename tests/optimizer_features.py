"""The columns of the compatibility table: each feature is a test that any optimizer can be put to.

A feature raises `NotOffered` where an optimizer lacks what it is about, `Refused` where the
controller refuses it and names the remedy, fails if the controller is
not exact, and else returns nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from optimizer_cases import Case, NotOffered, Refused
from optimizer_checkpoints import from_plain, resumed, to_plain
from optimizer_loops import (
    FACTORS,
    STEPS,
    Fixed,
    Run,
    assert_same,
    assert_untouched,
    control,
    controlled,
    layers_of,
    network,
    plain,
    reference,
    scaled_by_hand,
    trained,
)
from torch import nn

import l2o


def compare(case: Case, loop: Callable[[Run], None] = Run.plain, **options: Any) -> None:
    """Run a loop with a controller and in the reference, and compare."""
    mode = options.pop("mode", "auto")
    try:
        theirs = reference(case, **options)
        loop(theirs)
    except (NotImplementedError, AssertionError, RuntimeError, ValueError, TypeError) as error:
        # What torch itself refuses is no matter of the controller.
        raise NotOffered(str(error)) from error
    ours, controller = controlled(case, mode=mode, **options)
    loop(ours)
    assert controller.steps > 0
    assert_same(ours, theirs, narrow=case.narrow)
    rate = options.get("lr")
    assert_untouched(ours, case, rate)


def auto(case: Case) -> None:
    """`mode="auto"`: constant multipliers equal torch's own per-group learning rates, or, where an
    optimizer takes none, its plain step scaled by hand."""
    compare(case)


def groups(case: Case) -> None:
    """`mode="groups"`: equal to torch's own per-group learning rates."""
    if not case.splits:
        refused(case, "groups", "update_scale")
    compare(case, mode="groups")


def update_scale(case: Case) -> None:
    """`mode="update_scale"`: equal to torch's own per-group learning rates."""
    if not case.linear:
        refused(case, "update_scale", "groups")
    compare(case, mode="update_scale")


def refused(case: Case, mode: str, remedy: str) -> None:
    model = network(case)
    optimizer = case.make(trained(model))
    with pytest.raises(ValueError, match=f"use mode='{remedy}'") as error:
        control(Fixed(*FACTORS), optimizer, model, mode=mode)
    raise Refused(str(error.value))


def multiplier_one(case: Case) -> None:
    """Multiplier 1 is bit-equal to no controller at all, in every mode that the optimizer takes."""
    theirs = plain(case, dtype=torch.float32)
    theirs.plain()
    for mode in case.modes:
        ours, controller = controlled(case, Fixed(1.0, 1.0, 1.0), mode=mode, dtype=torch.float32)
        ours.plain()
        assert_same(ours, theirs, exact=True)
        # Even once its param groups have been split.
        if mode == "groups":
            ours, controller = controlled(
                case, Fixed(1.0, 1.0, 1.0), mode=mode, dtype=torch.float32
            )
            controller.mode._split_yet = True  # type: ignore[attr-defined]
            ours.plain()
            assert_same(ours, theirs, exact=True)


def tensor_rate(case: Case) -> None:
    """The learning rate is a tensor, and stays the user's own."""
    if case.package == "schedulefree":
        raise NotOffered("it divides by the sum of its rates, which only floats survive at zero")
    rate = torch.tensor(case.lr, dtype=torch.float64)
    flags: dict[str, Any] = {"foreach": False} if case.name not in _NO_FOREACH else {}
    compare(case, lr=rate, **flags)
    if case.package != "torch" or case.name.startswith("8-bit"):
        return
    # The user's tensor stays where it is, with what they put there.
    model = network(case)
    optimizer = case.make(trained(model), rate.clone(), **flags)
    mine = optimizer.param_groups[0]["lr"]
    control(Fixed(*FACTORS), optimizer, model)
    Run(model, optimizer, case.needs_closure).plain(0, 2)
    assert optimizer.param_groups[0]["lr"] is mine
    assert mine == rate


_NO_FOREACH = {"LBFGS", "Muon", "SparseAdam", "8-bit SGD, in bitsandbytes' manner", "Prodigy"}
_NO_FOREACH |= {"D-Adapt Adam"}


def with_flag(flag: str) -> Callable[[Case], None]:
    def feature(case: Case) -> None:
        compare(case, **{flag: True})

    feature.__doc__ = f"The optimizer with `{flag}=True`."
    return feature


def differentiable(case: Case) -> None:
    """The optimizer with `differentiable=True`, on weights that are not leaves of the graph."""
    start = [p.detach().clone() for layer in layers_of(network(case)) for p in layer]
    sizes = [len(layer) for layer in layers_of(network(case))]

    def run(attach: bool) -> list[torch.Tensor]:
        weights = [(p * 1.0).requires_grad_() for p in start]
        weights = [p.clone() for p in weights]
        rows, position = [], 0
        for size in sizes:
            rows.append(weights[position : position + size])
            position += size
        if attach:
            optimizer = case.make(weights, differentiable=True)
            made = [
                l2o.LayerGroup(str(i), tuple(map(str, range(len(row)))), tuple(row), i / 2, i == 2)
                for i, row in enumerate(rows)
            ]
            l2o.LRController(Fixed(*FACTORS), optimizer, groups=made, guard=None)
        else:
            pairs = zip(rows, FACTORS, strict=True)
            groups = [{"params": row, "lr": case.lr * factor} for row, factor in pairs]
            optimizer = case.make(groups, differentiable=True)
        for step in range(3):
            for index, weight in enumerate(weights):
                weight.grad = torch.full_like(weight, 0.1 * (index + 1) * (-1) ** step)
            optimizer.step()
        assert all(weight.grad_fn is not None for weight in weights)
        return weights

    if "differentiable" not in case.cls.__init__.__code__.co_varnames:
        raise NotOffered("not differentiable")
    if case.name == "Rprop":
        raise NotOffered("the mode that suits it writes weights")
    for mine, wanted in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-12)


def scheduler_before_or_after(case: Case) -> None:
    """An LR scheduler on top, made before the controller or after it."""

    def make(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7)

    def run(subject: Run, scheduler: Any) -> None:
        for index in range(STEPS):
            subject.one(index)
            scheduler.step()

    theirs = reference(case)
    run(theirs, make(theirs.optimizer))
    after, _ = controlled(case)
    scheduler = make(after.optimizer)
    run(after, scheduler)
    assert_same(after, theirs)
    model = network(case)
    optimizer = case.make(trained(model))
    scheduler = make(optimizer)
    control(Fixed(*FACTORS), optimizer, model)
    before = Run(model, optimizer, case.needs_closure)
    run(before, scheduler)
    assert_same(before, theirs)
    assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]


def accumulation(case: Case) -> None:
    """Gradients of two batches per step, zeroed in place."""
    if case.needs_closure:
        raise NotOffered("its closure computes all of the gradient")

    def loop(run: Run) -> None:
        for index in range(2 * STEPS):
            loss = run.loss(index) / 2
            run.observe(loss=loss)
            loss.backward()
            if index % 2:
                run.step()
                run.optimizer.zero_grad(set_to_none=False)

    compare(case, loop)


def closure(case: Case) -> None:
    """The loss and its gradient are computed within the step."""

    def loop(run: Run) -> None:
        for index in range(STEPS):
            run.with_closure(index)

    compare(case, loop)


def scaler(case: Case) -> None:
    """`GradScaler` with skipped steps, which count for nothing; fused, too, where there is that."""

    def loop(run: Run) -> None:
        if run.needs_closure:
            raise RuntimeError("GradScaler takes no closures")
        amp = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        for index in range(STEPS + 2):
            amp.scale(run.loss(index)).backward()
            if index in (1, 4):
                gradient = layers_of(run.model)[0][0].grad
                assert gradient is not None
                (gradient._values() if gradient.is_sparse else gradient)[0] = torch.inf
            run.step_with(amp)
            amp.update()
            run.optimizer.zero_grad()

    for flags in ({}, {"fused": True}):
        try:
            compare(case, loop, dtype=torch.float32, **flags)
        except NotOffered:
            if not flags:
                raise
            continue
        if flags:
            ours, controller = controlled(case, dtype=torch.float32, **flags)
            loop(ours)
            # Skipped steps are no steps, even where the optimizer was called for them.
            assert controller.steps == STEPS
            assert [decision.step for decision in controller.history] == [0, 2, 4, 6]


def clipping(case: Case) -> None:
    """Gradients are clipped by their norm before the step."""

    def loop(run: Run) -> None:
        run.before_step = lambda: nn.utils.clip_grad_norm_(trained(run.model), 0.1)
        run.plain()

    compare(case, loop)


def autocast(case: Case) -> None:
    """The forward pass runs in bfloat16."""

    def loop(run: Run) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            run.plain()

    compare(case, loop, dtype=torch.float32)


def raised_step(case: Case) -> None:
    """A closure raises and the step is tried again; in between the optimizer is the user's own."""

    def loop(run: Run) -> None:
        for index in range(STEPS):
            if index == 2:
                groups, rates = run.optimizer.param_groups, _rates(run)

                def fails() -> Any:
                    raise KeyError("no such batch")

                try:
                    run.step(fails)
                except KeyError:
                    assert run.optimizer.param_groups is groups
                    assert _rates(run) == rates
            run.with_closure(index)

    compare(case, loop)


def _rates(run: Run) -> list[Any]:
    return [group["lr"] for group in run.optimizer.param_groups]


def added_group(case: Case) -> None:
    """`add_param_group` while training: the layer joins, with its multiplier."""
    if not case.splits and case.needs_closure:
        raise NotOffered("takes a single param group")

    def begin(groups: Any) -> tuple[Any, Any]:
        model = network(case)
        rows = layers_of(model)
        return model, case.make(groups(rows))

    def loop(run: Run, last: dict[str, Any]) -> None:
        run.plain(0, 3)
        run.optimizer.add_param_group(last)
        run.plain(3, STEPS)

    model, optimizer = begin(lambda rows: [*rows[1], *rows[2]])
    controller = control(Fixed(*FACTORS), optimizer, model)
    assert list(controller.multipliers) == ["1", "2"]
    ours = Run(model, optimizer, case.needs_closure, observe=controller.observe)
    loop(ours, {"params": layers_of(model)[0]})
    assert list(controller.multipliers.values()) == list(FACTORS)
    assert len(optimizer.param_groups) == 2
    if not case.splits:
        model, optimizer = begin(lambda rows: [*rows[1], *rows[2]])
        theirs = Run(model, optimizer, case.needs_closure)
        theirs.step = scaled_by_hand(theirs)
        loop(theirs, {"params": layers_of(model)[0]})
    else:
        model, optimizer = begin(
            lambda rows: [
                {"params": rows[1], "lr": case.lr * FACTORS[1]},
                {"params": rows[2], "lr": case.lr * FACTORS[2]},
            ]
        )
        theirs = Run(model, optimizer, case.needs_closure)
        loop(theirs, {"params": layers_of(model)[0], "lr": case.lr * FACTORS[0]})
    assert_same(ours, theirs)


def thawed(case: Case) -> None:
    """A layer that was frozen when the controller came is thawed while training."""

    def loop(run: Run) -> None:
        run.plain(0, 3)
        for parameter in layers_of(run.model)[0]:
            parameter.requires_grad_(True)
        run.plain(3, STEPS)

    def freeze(run: Run) -> Run:
        for parameter in layers_of(run.model)[0]:
            parameter.requires_grad_(False)
        return run

    model = network(case)
    freeze(Run(model, case.make(trained(model))))
    optimizer = case.make(trained(model))
    controller = control(Fixed(*FACTORS), optimizer, model)
    assert list(controller.multipliers) == ["1", "2"]
    ours = Run(model, optimizer, case.needs_closure, observe=controller.observe)
    loop(ours)
    assert list(controller.multipliers) == ["0", "1", "2"]
    theirs = freeze(reference(case))
    loop(theirs)
    assert_same(ours, theirs)


FEATURES: dict[str, Callable[[Case], None]] = {
    "auto": auto,
    "`groups`": groups,
    "`update_scale`": update_scale,
    "all ones": multiplier_one,
    "tensor LR": tensor_rate,
    "foreach": with_flag("foreach"),
    "fused": with_flag("fused"),
    "capturable": with_flag("capturable"),
    "maximize": with_flag("maximize"),
    "differentiable": differentiable,
    "LR scheduler": scheduler_before_or_after,
    "accumulation": accumulation,
    "closure": closure,
    "GradScaler": scaler,
    "clipping": clipping,
    "autocast": autocast,
    "step raises": raised_step,
    "group added": added_group,
    "thawed": thawed,
    "resume": resumed,
    "from plain": from_plain,
    "to plain": to_plain,
}
