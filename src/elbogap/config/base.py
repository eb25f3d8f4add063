"""What every configuration section is made of: described, bounded fields and no unknown keys."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """One section of a scale file; an unknown or missing key is an error, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def setting(description: str, *, unit: str = "", **bounds: Any) -> Any:
    """A required field with a description, a unit and bounds (`ge`, `gt`, `le`, `lt`, `min_length` ...).

    Fields carry no defaults on purpose: the scale files assign every value, so each file alone says
    what a run does.
    """
    return Field(description=description, json_schema_extra={"unit": unit}, **bounds)
