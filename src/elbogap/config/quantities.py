"""The kinds of numbers that settings are, each with the range in which it can be used, stated once.

A number beyond its range cannot be used: a count that no machine reaches, a length whose square is zero or
infinite in float32, a fraction above 1. Truth values and texts are no numbers.
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
"""A location, such as a mean."""
NotNegative = Annotated[Real, Field(ge=0)]
Positive = Annotated[Real, Field(ge=1e-6)]
"""A length, standard deviation or factor."""
Factor = Annotated[Real, Field(ge=1)]
Spacing = Annotated[Number, Field(ge=0.01, le=10)]
"""The mesh of a lattice over a few units; finer ones do not fit in memory."""
Small = Annotated[Number, Field(ge=1e-12, le=0.1)]
"""A tolerance."""
Rate = Annotated[Number, Field(ge=1e-9, le=1)]
"""A learning rate."""
LeapfrogStep = Annotated[Number, Field(ge=1e-6, le=10)]
Unit = Annotated[Number, Field(ge=0, le=1)]
Share = Annotated[Unit, Field(ge=1e-6)]
Part = Annotated[Share, Field(lt=1)]
"""A fraction below 1, such as a quantile or the acceptance rate that a step size adapts to."""
Decay = Annotated[Unit, Field(lt=1)]
"""The fraction that is kept per step, or how fast a step size adapts; at 1 nothing new would count."""
Seconds = Annotated[Number, Field(ge=0, le=1e9)]

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
"""The name of a cell, which is a part of the names of its files."""

Levels = Annotated[tuple[Level, ...], AfterValidator(_each_once)]
"""Values of a quantity that is varied, all different."""
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]
"""Units of the hidden layers of a network."""
