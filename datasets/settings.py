"""The base of every stage's settings, and the recipe: a hash of what affects a stage's result."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
)

OUTSIDE_RECIPE = object()
"""Marks, by `Annotated`, a field that changes how work is done (threads, time limits, paths) but not what comes out."""
IN_RECIPE_WHEN_SET = object()
"""Marks a field that is younger than recipes in use: it counts where it is not the default."""


_SECRET = re.compile(r"key|token|sig|auth|pass|pwd|secret|session|sid|cred|code", re.IGNORECASE)
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*:/[^\s<>\"']+")


class Settings(BaseModel):
    """Frozen settings of one stage; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth(cls, value: Any, info: ValidationInfo) -> Any:
        """True is no number, although Python takes it for 1."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and {annotation, *get_args(annotation)}.isdisjoint({bool, Any}):
            raise ValueError(f"must not be {str(value).lower()}")
        return value

    @field_serializer("*", when_used="json", mode="wrap")
    def _hide_secrets(self, value: Any, to_json: SerializerFunctionWrapHandler) -> Any:
        """What is kept of settings, in records of runs, in releases and by Prefect, holds none."""
        return hide_secrets(to_json(value))

    def recipe_fields(self) -> dict[str, Any]:
        """What of these settings affects a result, as JSON can hold it."""
        fields = type(self).model_fields
        young = {name for name, field in fields.items() if IN_RECIPE_WHEN_SET in field.metadata}
        unset = {name for name in young if getattr(self, name) == fields[name].default}
        return self.model_dump(mode="json", exclude=outside_recipe(type(self)) | unset)


def outside_recipe(settings: type[Settings]) -> set[str]:
    """Names of the fields that are marked OUTSIDE_RECIPE."""
    return {name for name, field in settings.model_fields.items() if OUTSIDE_RECIPE in field.metadata}


def without_secrets(text: str) -> str:
    """An address, or every address in a text, without user, password and those parameters whose names say that they are
    a key: for what is kept."""
    return _ADDRESS.sub(lambda found: _without_secrets(found.group()), _without_secrets(text))


def _without_secrets(address: str) -> str:
    try:  # of an address that was taken for a path, one slash is left
        parts = urlsplit(re.sub(r"^([A-Za-z][\w+.-]+:/)(?=[^/])", r"\1/", address))
    except ValueError:  # no address: a bracket that never closes
        return address
    if not parts.scheme or not parts.netloc:
        return address
    fields = parts.query.split("&")
    query = "&".join(f for f in fields if "{video_id}" in f or not _SECRET.search(f.partition("=")[0]))
    fragment = "" if _SECRET.search(parts.fragment) else parts.fragment
    kept = parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query, fragment=fragment)
    return address if kept == parts else urlunsplit(kept)


def refuse_secrets(address: str) -> str:
    """The address, where it has none of them, as one that stands in every message, log and page must."""
    if without_secrets(address) != address:
        raise ValueError("names a user, password or key: set those in the environment of the store's client")
    return address


def hide_secrets(value: Any) -> Any:
    """JSON with every address in it `without_secrets`."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {name: hide_secrets(inner) for name, inner in value.items()}
    return [hide_secrets(inner) for inner in value] if isinstance(value, list | tuple) else value


def recipe_of(*parts: Any) -> str:
    """Hash of everything that affects a result: settings, weights' digests, the recipes of the tables read.

    Args:
        parts: `Settings` (without the fields marked OUTSIDE_RECIPE) or anything JSON can hold.

    Returns:
        16 hexadecimal digits, the same for equal parts on any machine.
    """
    plain = [part.recipe_fields() if isinstance(part, Settings) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
