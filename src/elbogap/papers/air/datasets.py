"""The data sets of document air, named once; a scale file has the sizes and layers of those it trains."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dataset:
    """How images of 28 x 28 pixels, 1 where there is ink, are made of a data set of the table of sources.

    Without a validation part, one is taken from the training part.

    Attributes:
        title: in figures.
        grey: pixels are grey levels of ink from 0 to 255, to be binarised at random, once.
        inverted: pixels are 1 on the ground and 0 on the object.
    """

    title: str
    grey: bool = False
    inverted: bool = False


DATASETS = {
    "binarized_mnist": Dataset("MNIST"),
    "omniglot": Dataset("OMNIGLOT", grey=True),
    "caltech_silhouettes": Dataset("Caltech silhouettes", inverted=True),
}
"""By name, in the order of the figures."""
