"""The fields of all sections of a scale file, by their dotted names."""

import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from elbogap.scales import Config


def fields(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo, bool]]:
    """The dotted name of each field, the field, and whether it is a value, not a section or several."""
    for name, field in model.model_fields.items():
        inner = list(models_in(field.annotation))
        yield f"{prefix}{name}", field, not inner
        for section in inner:
            yield from fields(section, f"{prefix}{name}.")
    for section in models_in(typing.get_type_hints(model).get("__pydantic_extra__")):
        yield from fields(section, f"{prefix}*.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The section models inside a field's annotation, through unions, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)
