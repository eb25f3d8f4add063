"""Fit the classifier that reads the digits of figure 2's reconstructions; the document has none.

It is trained on grey MNIST binarised at random, pixel by pixel, as the fixed-binarised set was.
"""

import warnings

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from elbogap.data.loaders import load
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.qiw.settings import MnistClassifier as Settings
from elbogap.runtime import Run, derive_seed, numpy_generator

WHITE = 255


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Fit the classifier (`classifier`) and measure its accuracy on the test part (`accuracy`).

    `binarisation` of the test images: `bernoulli`, as in training and in the fixed-binarised set, or
    `threshold` at half of white, as the reconstructions are.
    """
    data = load(run.inputs["data"])
    random = numpy_generator(settings.seed, "qiw.mnist_classifier")
    chosen = random.permutation(len(data.arrays["train"]))[: settings.images]
    images, labels = _bernoulli(data.arrays["train"][chosen], random), data.arrays["train_label"][chosen]
    classifier = MLPClassifier(
        settings.hidden,
        max_iter=settings.epochs,
        random_state=derive_seed(settings.seed, "qiw.mnist_classifier", "weights") % 2**32,
    )
    with threadpool_limits(run.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is a setting
        classifier.fit(images.astype(np.float32), labels)
    kept, test = stored(classifier, data=np.array(data.kind)), data.arrays["test"]
    binarised = {"bernoulli": _bernoulli(test, random), "threshold": test > WHITE / 2}
    read = np.stack([predict(kept, torch.from_numpy(binary)) for binary in binarised.values()])
    accuracy: dict[str, object] = {"document": "qiw", "dataset": data.name, "data": data.kind}
    accuracy |= {"binarisation": [*binarised], "test_images": len(test)}
    accuracy["test_accuracy"] = (read == data.arrays["test_label"]).mean(1)
    return {"classifier": kept.to_arrays(), "accuracy": pd.DataFrame(accuracy)}


def stored(classifier: MLPClassifier, **values: np.ndarray) -> Stored:
    """A fitted classifier with ReLU units as one of our networks, its `classes`, and more values."""
    weights = [torch.from_numpy(weight)[None] for weight in classifier.coefs_]
    biases = [torch.from_numpy(bias)[None, None] for bias in classifier.intercepts_]
    network = MLP.from_tensors(weights, biases, "relu")
    return Stored({"classifier": network}, {"classes": classifier.classes_, **values})


@torch.no_grad()
def predict(classifier: Stored, images: Tensor) -> np.ndarray:
    """The most probable class of each image, `[N, 784]` in {0, 1} to `[N]`."""
    logits = classifier.networks["classifier"](images.cpu().float()[None])[0]
    return classifier.values["classes"][logits.argmax(-1).numpy()]


def _bernoulli(grey: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One draw per pixel, on with probability grey / white."""
    return random.random(grey.shape, dtype=np.float32) * WHITE < grey
