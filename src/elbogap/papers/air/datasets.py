"""The data sets of document air, named once; a scale file has the sizes and layers of those it trains."""

from typing import NamedTuple


class Dataset(NamedTuple):
    """How a data set of the table of sources becomes binary images, 28 x 28 pixels, 1 where there is ink."""

    title: str  # in figures
    grey: bool = False  # pixels are grey levels of ink from 0 to 255, to be binarised at random, once
    inverted: bool = False  # pixels are 1 on the ground and 0 on the object


DATASETS = {
    "binarized_mnist": Dataset("MNIST"),
    "omniglot": Dataset("OMNIGLOT", grey=True),
    "caltech_silhouettes": Dataset("Caltech silhouettes", inverted=True),
}
"""By name, in the order of the figures."""
