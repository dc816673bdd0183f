"""The reference page of the config fields."""

from pathlib import Path

from l2o.configs.load import SCHEMAS
from l2o.configs.reference import reference

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


def test_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_every_field_is_documented():
    page = reference()
    for schema in SCHEMAS.values():
        for name, field in schema.model_fields.items():
            assert field.description, f"{schema.__name__}.{name} has no docstring"
            assert f"| `{name}` |" in page
