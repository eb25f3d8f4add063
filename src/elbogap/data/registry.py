"""All data sets, by their keys in the table of sources."""

from elbogap.data.definition import Definition
from elbogap.data.sets import (
    caltech_silhouettes,
    celeba,
    fid_inception,
    hapt,
    mnist,
    newsgroups,
    omniglot,
)  # fmt: skip

DEFINITIONS: dict[str, Definition] = {
    definition.name: definition
    for definition in (
        mnist.MNIST,
        mnist.BINARIZED_MNIST,
        mnist.FASHION_MNIST,
        omniglot.DEFINITION,
        caltech_silhouettes.DEFINITION,
        newsgroups.DEFINITION,
        hapt.DEFINITION,
        celeba.DEFINITION,
        fid_inception.DEFINITION,
    )
}
