"""Methods and data sets of document implicit, named here alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """A way to fit q, with its name in settings, tables and files, and its label in figures.

    With `mixing` noise q is semi-implicit; `refining` methods improve its draws by t iterations of HMC.
    """

    name: str
    label: str
    mixing: bool = False
    refining: bool = False


EXPLICIT = Method("explicit", "explicit Gaussian")
ELBO = Method("elbo", "ELBO")
KL = Method("kl", "standard KL")
SIVI = Method("sivi", "SIVI", mixing=True)
UIVI = Method("uivi", "UIVI", mixing=True)
HOFFMAN = Method("hoffman", "Hoffman", refining=True)
VCD = Method("vcd", "VCD", refining=True)

OF_Q = {method.name: method for method in (EXPLICIT, SIVI, UIVI)}
"""What is compared where the model is fixed: on the toys and in softmax regression."""
OF_VAE = {method.name: method for method in (ELBO, SIVI, UIVI, HOFFMAN, VCD)}
"""What trains q(z|x) and the model together."""

REGRESSION_DATA = {"mnist": "MNIST", "hapt": "HAPT"}
"""Data sets of softmax regression and their labels in figures."""
IMAGES = {"binarized_mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
"""Data sets of the VAEs and their labels in figures."""
GREY = ("fashion_mnist",)  # those with grey levels for pixels, whose validation images are trained on
