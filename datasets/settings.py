"""The base of every stage's settings, and the recipe: a hash of what affects a stage's result."""

import hashlib
import json
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen settings of one stage; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    not_in_recipe: ClassVar[frozenset[str]] = frozenset()
    """Fields that change how the work is done (threads, time limits, paths) but not what comes out."""


def recipe_of(*parts: Any) -> str:
    """Hash of everything that affects a result: settings, weights' digests, the recipes of the tables read.

    Args:
        parts: `Settings` (without their `not_in_recipe` fields) or anything JSON can hold.

    Returns:
        16 hexadecimal digits, the same for equal parts on any machine.
    """
    plain = [
        part.model_dump(mode="json", exclude=set(part.not_in_recipe)) if isinstance(part, Settings) else part
        for part in parts
    ]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
