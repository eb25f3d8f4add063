"""Settings of document implicit."""

from typing import Annotated, Literal  # noqa: F401

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting  # noqa: F401

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


# == density_ratio ==


# == toys ==


# == identities ==


# == vcd_toys ==


# == regression ==


# == vae ==


class ImplicitConfig(Section):
    """Document implicit."""

    # == density_ratio ==

    # == toys ==

    # == identities ==

    # == vcd_toys ==

    # == regression ==

    # == vae ==
