"""What a module of :mod:`elbogap.data.sets` says of a data set: how it is read, and what stands in for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from elbogap.data.trust import DERIVED, SYNTHETIC

Arrays = dict[str, Any]
Parameters = Mapping[str, Any]

LARGEST = 100_000
"""Of the numbers that a record may ask a stand-in to be made with."""


@dataclass(frozen=True)
class StandIn:
    """A declared stand-in: learnable, and the same for the same parameters.

    It has the array names, types and image size of the data set, but it is no data: everything made from it
    is marked.

    Attributes:
        note: what it is; a part of the data record.
        parameters: its `recipe`, perhaps a `seed` and sizes. They are a part of the data record, so that the
            stand-in can be made again anywhere, and the recipe's name is a part of the random streams' names.
        make: from such parameters, and the arrays of its donor, to arrays.
        donor: the real data set that it is derived from; none if it is synthetic.
    """

    note: str
    parameters: dict[str, Any]
    make: Callable[..., Arrays]
    donor: str = ""

    @property
    def variant(self) -> str:
        """The variant in data records."""
        return f"{DERIVED}{self.donor}" if self.donor else SYNTHETIC

    def admits(self, parameters: Parameters) -> bool:
        """Whether it can be made with these: its own recipe, at whatever seed and moderate sizes."""
        of_donor = ["variant"] if self.donor else []
        numbers = [parameters.get(name) for name in self.parameters if name != "recipe"]
        return (
            set(parameters) == {*self.parameters, *of_donor}
            and parameters["recipe"] == self.parameters["recipe"]
            and all(isinstance(number, int) and 0 < number <= LARGEST for number in numbers)
        )


@dataclass(frozen=True)
class Definition:
    """One data set.

    Attributes:
        name: its key in the table of sources.
        readers: by variant, from its files to arrays by name. One called `images` is none: it is a function
            from image names to images.
        synthetic: the stand-in that can always be made.
        derived: a better one, which needs another data set.
    """

    name: str
    readers: Mapping[str, Callable[..., Arrays]]
    synthetic: StandIn
    derived: StandIn | None = None

    @property
    def stand_ins(self) -> list[StandIn]:
        """The better first."""
        return [stand_in for stand_in in (self.derived, self.synthetic) if stand_in is not None]
