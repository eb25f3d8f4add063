"""What every configuration section is made of: described, bounded fields and no unknown keys."""

import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elbogap.errors import did_you_mean, shown


class Section(BaseModel):
    """One section of a scale file; an unknown or missing key is an error, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def setting(description: str, *, unit: str = "", **bounds: Any) -> Any:
    """A required field with a description, a unit and bounds (`ge`, `gt`, `le`, `lt`, `min_length` ...).

    Fields carry no defaults on purpose: the scale files assign every value, so each file alone says
    what a run does.
    """
    return Field(description=description, json_schema_extra={"unit": unit}, **bounds)


def explain(error: ValidationError, model: type[BaseModel], *, more_keys: Sequence[str] = ()) -> str:
    """One line for a failed validation: the key, what is wrong, and the allowed keys where that helps.

    Args:
        error: what pydantic raised.
        model: of the whole file.
        more_keys: allowed at the top beside those of the model.
    """
    # a misspelt key is both unknown and missing; the unknown one tells the user more
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem, others = problems[0], len(problems) - 1
    more = f" (and {others} more)" if others else ""
    location = [str(part) for part in problem["loc"]]
    key = shown(".".join(location))
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_model_at(model, location[:-1]).model_fields)
        hint = did_you_mean(location[-1], [*allowed, *more_keys] if len(location) == 1 else allowed)
        return f"unknown key {key}{hint}; allowed here: {', '.join(allowed)}{more}"
    if problem["type"] == "missing":
        return f"missing key {key}{more}"
    where = f"bad value for {key}" if location else "bad values"
    if problem["type"] == "value_error":  # of a whole section, whose values would fill the line
        return f"{where}: {problem['ctx']['error']}{more}"
    wrong = "keys and their values are needed" if problem["type"] == "model_type" else problem["msg"]
    return f"{where}: {wrong} (got {shown(problem['input'])}){more}"


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The section models inside a field's annotation, through unions, lists and mappings."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
    else:
        for part in typing.get_args(annotation):
            yield from models_in(part)


def _model_at(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel]:
    for name in location:
        field = model.model_fields.get(name)
        annotation = model.__annotations__.get("__pydantic_extra__") if field is None else field.annotation
        model = next(models_in(annotation), model)
    return model
