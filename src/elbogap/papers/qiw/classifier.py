"""A multi-layer perceptron as plain arrays: scikit-learn fits it, NumPy applies it, no pickle is kept."""

from collections.abc import Mapping

import numpy as np
from sklearn.neural_network import MLPClassifier


def to_arrays(classifier: MLPClassifier) -> dict[str, np.ndarray]:
    """`weight0` [in, out], `bias0` [out], ... and `classes` of a fitted classifier with ReLU units."""
    arrays = {"classes": classifier.classes_}
    for layer, (weight, bias) in enumerate(zip(classifier.coefs_, classifier.intercepts_, strict=True)):
        arrays |= {f"weight{layer}": weight, f"bias{layer}": bias}
    return arrays


def predict(arrays: Mapping[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """The most probable class of each image, `[..., pixels]` in {0, 1} to `[...]`, as scikit-learn does."""
    layers = sum(name.startswith("weight") for name in arrays)
    hidden = images.astype(np.float32)
    for layer in range(layers):
        if layer:
            hidden = np.maximum(hidden, 0)
        hidden = hidden @ arrays[f"weight{layer}"] + arrays[f"bias{layer}"]
    return arrays["classes"][hidden.argmax(-1)]
