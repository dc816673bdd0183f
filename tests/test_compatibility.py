"""Each cell of docs/compatibility.md: optimizer × feature, exact, and the page says so."""

import pytest
import torch
from compatibility import PAGE, read_cells, render, verify
from optimizer_cases import CASES
from optimizer_features import FEATURES


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", CASES)
def test_cell(name, feature):
    if CASES[name].package != "torch":
        pytest.importorskip(CASES[name].package)
    assert verify(CASES[name], feature) == read_cells()[name, feature], "run `make compatibility`"


def test_page_is_the_one_that_the_tests_write():
    assert PAGE.read_text(encoding="utf-8") == render(read_cells())


def test_every_optimizer_of_torch_has_a_row():
    of_torch = {
        kind
        for kind in vars(torch.optim).values()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    }
    assert of_torch - {torch.optim.Optimizer} <= {case.kind for case in CASES.values()}
