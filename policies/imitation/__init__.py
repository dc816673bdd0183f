"""What a policy may begin with: imitating a teacher that knows more than it does."""

from l2o.policies.imitation.imitate import imitate

__all__ = ["imitate"]
