"""The base of every stage's settings, and the recipe: a hash of what affects a stage's result."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

OUTSIDE_RECIPE = object()
"""Marks, by `Annotated`, a field that changes how work is done (threads, time limits, paths) but not what comes out."""


class Settings(BaseModel):
    """Frozen settings of one stage; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def outside_recipe(settings: type[Settings]) -> set[str]:
    """Names of the fields that are marked OUTSIDE_RECIPE."""
    return {name for name, field in settings.model_fields.items() if OUTSIDE_RECIPE in field.metadata}


def recipe_of(*parts: Any) -> str:
    """Hash of everything that affects a result: settings, weights' digests, the recipes of the tables read.

    Args:
        parts: `Settings` (without the fields marked OUTSIDE_RECIPE) or anything JSON can hold.

    Returns:
        16 hexadecimal digits, the same for equal parts on any machine.
    """
    plain = [
        part.model_dump(mode="json", exclude=outside_recipe(type(part))) if isinstance(part, Settings) else part
        for part in parts
    ]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
