"""The compiled kernels equal torch's own convolutions."""

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from l2o.envs.stacked.chains import ChainedConv2d, chain_convolutions
from l2o.envs.stacked.compiled import CompiledStack, compilable
from l2o.envs.stacked.kernels import (
    Geometry,
    convolve,
    gather_images,
    images_innermost,
    load_kernels,
    supports,
    why_no_kernels,
)
from l2o.envs.stacked.kernels import library as kernel_library

needs_kernels = pytest.mark.skipif(load_kernels() is None, reason=why_no_kernels())
pytestmark = needs_kernels


def seeded(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def reference(x, weights, biases, chain):
    """Return the chain by torch, one grouped convolution after the other."""
    for weight, bias, g in zip(weights, biases, chain, strict=True):
        flat = None if bias is None else bias.flatten()
        x = functional.conv2d(
            x, weight.flatten(0, 1), flat, g.stride, g.padding, g.dilation, len(weight)
        )
        x = functional.relu(x) if g.rectify else x
    return x


small = st.integers(1, 3)
geometries = st.builds(
    Geometry,
    stride=st.tuples(small, small),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    rectify=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(
    geometries,
    st.integers(1, 3),
    st.sampled_from([1, 2, 3, 7, 8, 15, 16, 19, 33, 40]),
    st.integers(1, 8),
    st.sampled_from([1, 2, 5, 8, 9, 17]),
    st.tuples(st.integers(5, 8), st.integers(5, 9)),
    st.tuples(small, small),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_one_convolution_and_its_gradients(
    geometry, networks, batch, inputs, outputs, size, kernel, biased, channels_last, innermost
):
    x = seeded(batch, networks * inputs, *size)
    weight = seeded(networks, outputs, inputs, *kernel, seed=1)
    if channels_last:
        weight = weight.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    bias = seeded(networks, outputs, seed=2) if biased else None
    tensors = [t.requires_grad_() for t in (x, weight, bias) if t is not None]
    taken = images_innermost(x) if innermost else x
    mine = convolve(taken, [weight], [bias], [geometry])
    theirs = reference(x, [weight], [bias], [geometry])
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    slope = seeded(*mine.shape, seed=3)
    gradients = (torch.autograd.grad(out, tensors, slope) for out in (mine, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


CHAIN = (
    Geometry((1, 1), (1, 1), rectify=True),
    Geometry((2, 2), (1, 1), rectify=True),
    Geometry((1, 1), (0, 1)),
    Geometry((2, 1), (1, 0), rectify=True),
)


def chain_tensors(dtype, networks=3, batch=20):
    channels = (3, 8, 5, 16, 9)
    shapes = [(networks, o, i, 3, 3) for i, o in itertools.pairwise(channels)]
    weights = [seeded(*s, seed=n, dtype=dtype) / 5 for n, s in enumerate(shapes)]
    biases = [seeded(networks, s[1], seed=9 + n, dtype=dtype) for n, s in enumerate(shapes)]
    biases[2] = None
    return seeded(batch, networks * 3, 12, 11, seed=7, dtype=dtype), weights, biases


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 2e-4)])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("wants_input", [True, False])
def test_a_chain_and_its_gradients(dtype, tolerance, threads, wants_input):
    x, weights, biases = chain_tensors(dtype)
    x.requires_grad_(wants_input)
    tensors = [t for t in (x, *weights, *biases) if t is not None]
    for tensor in tensors[1:]:
        tensor.requires_grad_()
    wanted = tensors if wants_input else tensors[1:]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        mine = convolve(x, weights, biases, CHAIN)
        gradients = torch.autograd.grad(mine.square().sum(), wanted)
        with torch.no_grad():
            evaluated = convolve(x, weights, biases, CHAIN)
    finally:
        torch.set_num_threads(before)
    theirs = reference(x, weights, biases, CHAIN)
    expected = torch.autograd.grad(theirs.square().sum(), wanted)
    torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
    assert torch.equal(evaluated, mine)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * 10)


def test_a_nan_stays_in_its_network():
    x, weights, biases = chain_tensors(torch.float32)
    clean = convolve(x, weights, biases, CHAIN).unflatten(1, (3, -1))
    weights[1][1] = torch.nan
    mine = convolve(x, weights, biases, CHAIN).unflatten(1, (3, -1))
    assert torch.isnan(mine[:, 1]).all()
    assert torch.equal(mine[:, [0, 2]], clean[:, [0, 2]])


def test_refusals():
    x, weights, biases = chain_tensors(torch.float32)
    with pytest.raises(RuntimeError, match=r"not for torch\.float16"):
        convolve(x.half(), [w.half() for w in weights], [None] * 4, CHAIN)
    with pytest.raises(RuntimeError, match="cannot convolve input"):
        convolve(x[:, :-1], weights, biases, CHAIN)
    assert not supports(nn.Conv2d(4, 4, 3, groups=2))
    assert not supports(nn.Conv2d(4, 4, 3, padding="same"))
    assert not supports(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"))
    assert not supports(nn.Conv2d(4, 4, 17))
    assert supports(nn.Conv2d(4, 4, 3, padding=1))


@pytest.mark.parametrize("batch", [1, 16, 37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gathering_images(batch, dtype):
    pool = seeded(50, 3, 4, 5, dtype=dtype)
    rows = torch.randint(50, (batch, 6), generator=torch.Generator().manual_seed(0))
    mine = gather_images(pool, rows)
    assert torch.equal(mine, pool[rows].flatten(1, 2))
    assert mine.permute(1, 2, 3, 0).is_contiguous()
    with pytest.raises(IndexError, match=r"0\.\.49"):
        gather_images(pool, rows + 45)


class Residual(nn.Module):
    """A model whose convolutions only partly follow one another."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.one = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.pool = nn.MaxPool2d(2)
        self.last = nn.Conv2d(4, 6, 3)
        self.head = nn.Linear(6, 5)

    def forward_features(self, x):
        x = self.stem(x).relu()
        x = torch.relu(x + self.one(x))
        x = functional.relu(self.last(self.pool(x)))
        return x.mean((2, 3))

    def forward_head(self, x):
        return self.head(x)


def test_only_what_follows_alone_is_joined():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, proxy = Residual(), nn.Linear(6, 3)
    assert compilable(model)
    tensors = {
        name: torch.stack([p.detach(), p.detach() * 2]) for name, p in model.named_parameters()
    }
    proxies = {n: p.detach().expand(2, *p.shape) for n, p in proxy.named_parameters()}
    stack = CompiledStack(model, proxy, tensors, proxies, 2)
    chains = [name for name, _ in stack._features.named_children() if name.startswith("chain")]
    assert len(chains) == 3
    assert "relu" in stack._features.code  # the sum's
    examples = seeded(7, 2, 3, 8, 8, dtype=torch.float32)
    mine = stack.logits(stack.features(stack.arrange(examples)))
    for n in range(2):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(tensors[name][n])
            theirs = model.forward_head(model.forward_features(examples[:, n]))
        torch.testing.assert_close(mine[:, n], theirs, rtol=1e-5, atol=1e-5)


def test_a_convolution_read_twice_is_not_joined():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = ChainedConv2d(nn.Conv2d(1, 1, 1, bias=False), 1)
            self.conv.weight = torch.full((1, 1, 1, 1, 1), -1.0)

        def forward_features(self, x):
            x = self.conv(x)
            return x + functional.relu(x)

    out = chain_convolutions(Twice(), "forward_features")(torch.ones(2, 1, 3, 3))
    assert torch.equal(out, torch.full((2, 1, 3, 3), -1.0))


RUN = """
import torch
from l2o.envs.stacked.choose import choose_stack
from l2o.envs.stacked.kernels import why_no_kernels
from l2o.envs.tasks.proxy.networks import NETWORKS, Shape
model = NETWORKS["conv"](Shape(), 10, torch.Generator().manual_seed(0))
kind, _ = choose_stack(model, torch.nn.Linear(64, 10), torch.zeros(3, 16, 16))
print(kind.name, why_no_kernels())
"""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"L2O_KERNELS": "0"}, "substituted L2O_KERNELS=0"),
        ({"CXX": "no-such-compiler"}, "substituted no C++ compiler (no-such-compiler)"),
        ({"CXX": "false"}, "substituted"),
        ({}, "compiled"),
    ],
)
def test_without_a_compiler_torch_does_the_work(setting, said, tmp_path, monkeypatch, capsys):
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    if setting:
        monkeypatch.setenv("L2O_CACHE", str(tmp_path))
    kernel_library._load.cache_clear()  # as in a new process
    try:
        exec(RUN, {})
    finally:
        monkeypatch.undo()
        kernel_library._load.cache_clear()
    assert capsys.readouterr().out.startswith(said)


def compiled_library():
    """Return where the kernels of this process are; compiling them takes long."""
    path = Path(load_kernels()._name)
    if not path.is_file():
        pytest.skip("the kernels cannot be cached here")
    return path


def test_a_damaged_library_is_compiled_anew(monkeypatch, tmp_path):
    compiled = compiled_library()
    monkeypatch.setenv("L2O_CACHE", str(tmp_path))
    (tmp_path / "kernels").mkdir()
    library = Path(shutil.copy(compiled, tmp_path / "kernels"))
    kernel_library.open_library()
    assert list(library.parent.iterdir()) == [library], "it is taken as it is"
    whole = library.read_bytes()
    # Loading what is left of a cut library kills the process.
    library.write_bytes(whole[:3000])
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("compiled")
    assert [path.read_bytes() for path in library.parent.iterdir()] == [whole]


def test_kernels_that_cannot_be_cached_are_loaded_all_the_same(monkeypatch, tmp_path):
    library = compiled_library().read_bytes()
    monkeypatch.setattr(kernel_library, "_compile", lambda *_: library)
    (tmp_path / "kernels").write_text("a file where the folder should be")
    monkeypatch.setenv("L2O_CACHE", str(tmp_path))
    assert kernel_library._declared(kernel_library.open_library()).l2o_scratch
