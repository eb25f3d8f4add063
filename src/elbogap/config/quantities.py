"""The kinds of numbers that settings are, each with the range in which it can be used, stated once.

A number beyond its range cannot be used: a count that no machine gets to, a length whose square is nothing or
infinite in float32, a share of more than the whole. Truth values and texts are no numbers.
"""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

Level = TypeVar("Level")


def _each_once(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    twice = [level for i, level in enumerate(levels) if level in levels[:i]]
    if twice:
        raise ValueError(f"{twice[0]} is named twice")
    return levels


Integer = Annotated[int, Field(strict=True, le=10**9)]
Natural = Annotated[Integer, Field(ge=0)]
Count = Annotated[Integer, Field(ge=1)]
Seed = Natural

Number = Annotated[float, Field(strict=True)]
Real = Annotated[Number, Field(ge=-1e3, le=1e3)]
"""A place, such as a mean."""
NotNegative = Annotated[Real, Field(ge=0)]
Positive = Annotated[Real, Field(ge=1e-6)]
"""A length, deviation or factor."""
Factor = Annotated[Real, Field(ge=1)]
Spacing = Annotated[Number, Field(ge=0.01, le=10)]
"""The mesh of a lattice over a few units; finer ones do not fit in memory."""
Small = Annotated[Number, Field(ge=1e-12, le=0.1)]
"""An error that is allowed."""
Rate = Annotated[Number, Field(ge=1e-9, le=1)]
"""The size of a gradient step."""
LeapfrogStep = Annotated[Number, Field(ge=1e-6, le=10)]
Unit = Annotated[Number, Field(ge=0, le=1)]
Share = Annotated[Unit, Field(ge=1e-6)]
Part = Annotated[Share, Field(lt=1)]
"""A share of less than the whole, such as a quantile or an acceptance to adapt to."""
Decay = Annotated[Unit, Field(lt=1)]
"""What is kept per step, or how fast a step size adapts: at 1, nothing is left of it."""
Seconds = Annotated[Number, Field(ge=0, le=1e9)]

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""The name of a cell, which is a part of the names of its files."""

Levels = Annotated[tuple[Level, ...], AfterValidator(_each_once)]
"""Values of a quantity that is varied, all different."""
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]
"""Units of the hidden layers of a network."""
