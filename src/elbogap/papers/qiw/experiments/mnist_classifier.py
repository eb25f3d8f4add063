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

from elbogap.data.loaders import load
from elbogap.papers.qiw.classifier import predict, stored
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
    right = {
        name: predict(kept, torch.from_numpy(values)) == data.arrays["test_label"]
        for name, values in binarised.items()
    }
    accuracy = pd.DataFrame(
        {
            "document": "qiw",
            "dataset": data.name,
            "data": data.kind,
            "binarisation": list(right),
            "test_images": len(test),
            "test_accuracy": [float(values.mean()) for values in right.values()],
        }
    )
    return {"classifier": kept.to_arrays(), "accuracy": accuracy}


def _bernoulli(grey: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One draw per pixel, on with probability grey / white."""
    return random.random(grey.shape, dtype=np.float32) * WHITE < grey
