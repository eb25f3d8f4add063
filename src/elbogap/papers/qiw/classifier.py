"""The classifier of digits: scikit-learn fits it, it is kept and applied as one of our networks."""

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored


def stored(classifier: MLPClassifier, **values: np.ndarray) -> Stored:
    """A fitted classifier with ReLU units, its `classes`, and more values."""
    weights = [torch.from_numpy(weight)[None] for weight in classifier.coefs_]
    biases = [torch.from_numpy(bias)[None, None] for bias in classifier.intercepts_]
    network = MLP.from_tensors(weights, biases, "relu")
    return Stored({"classifier": network}, {"classes": classifier.classes_, **values})


@torch.no_grad()
def predict(classifier: Stored, images: Tensor) -> np.ndarray:
    """The most probable class of each image, `[N, 784]` in {0, 1} to `[N]`."""
    logits = classifier.networks["classifier"](images.cpu().float()[None])[0]
    return classifier.values["classes"][logits.argmax(-1).numpy()]
