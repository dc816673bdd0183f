"""Which fields of a dataclass of options have a line of documentation right below them."""

import ast
import inspect
import itertools
import textwrap


def documented_fields(kind):
    """Return the names of the fields that are documented, inherited ones among them."""
    told = set()
    for part in kind.__mro__[:-1]:
        body = ast.parse(textwrap.dedent(inspect.getsource(part))).body[0].body
        for field, after in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                told.add(field.target.id)
    return told
