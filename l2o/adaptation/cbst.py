"""Class-balanced self-training."""

from __future__ import annotations

from dataclasses import dataclass

from l2o.adaptation.class_balanced import ClassBalanced
from l2o.adaptation.self_training import SelfTraining


@dataclass(eq=False)
class CBST(SelfTraining):
    """Class-balanced pseudo-labels (`ClassBalanced`), and cross-entropy on them.

    Source: Zou et al., Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced
    Self-Training, ECCV 2018 (share 0.2, 0.05 more each round, 0.5 at most).

    Args:
        share: of each class: {first, growth, most}.
        seed: of nothing.

    Raises:
        ValueError: a share out of range.

    Example:
        A round in a loop of one's own, of a classifier with few images:

        >>> model, images = nn.Linear(4, 3), torch.randn(20, 4)
        >>> method = CBST()
        >>> rule = method.selection(number=0)
        >>> with torch.no_grad():
        ...     p = model(images).softmax(dim=1)
        >>> rule.observe(p)  # batch by batch, where there are many
        >>> found = rule.choose(p)
        >>> chosen = found.kept
        >>> x, y = torch.randn(8, 4), torch.randint(3, (8,))
        >>> loss = nn.functional.cross_entropy(model(x), y)  # source
        >>> loss = loss + nn.functional.cross_entropy(model(images[chosen]), found.labels[chosen])
        >>> loss.backward()
    """

    def selection(self, number: int) -> ClassBalanced:
        """Return the rule of a round."""
        return ClassBalanced(self.share.at(number))
