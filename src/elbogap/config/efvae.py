"""Settings of document efvae."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from elbogap.config.base import Section, setting

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[FiniteFloat, Field(gt=0)]


# == toy ==


# == theory ==


# == newsgroups ==


# == celeba ==


class EfvaeConfig(Section):
    """Document efvae."""

    # == toy ==

    # == theory ==

    # == newsgroups ==

    # == celeba ==
