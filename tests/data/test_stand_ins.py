"""Stand-ins: the same for the same parameters, shaped like the real data, and learnable."""

import functools

import numpy as np
import pytest
from scipy.sparse import issparse
from sklearn.linear_model import RidgeClassifier

from allowance import within
from elbogap.data.formats import Arrays
from elbogap.data.sources import SOURCES
from elbogap.data.stand_ins import RECIPES, bernoulli

LABELLED = [name for name in SOURCES if name not in ("celeba", "posteriordb", "fid_inception")]


@functools.cache
def made(name: str, **changes: int) -> Arrays:
    parameters = SOURCES[name].stand_ins[-1].parameters | changes
    return RECIPES[parameters["recipe"]](parameters)


def dense(array: object) -> np.ndarray:
    return array.toarray() if issparse(array) else np.asarray(array)


@pytest.mark.parametrize("name", SOURCES)
def test_repeatable(name: str) -> None:
    first, second = made(name), made.__wrapped__(name)
    assert set(first) == set(second)
    for key in set(first) - {"images"}:
        np.testing.assert_array_equal(dense(first[key]), dense(second[key]))


@pytest.mark.parametrize("name", LABELLED)
def test_a_linear_classifier_learns_it_from_train_to_test(name: str) -> None:
    arrays = made(name)
    train, test = (dense(arrays[split]).astype(np.float64) for split in ("train", "test"))
    scale = max(train.max(), 1)
    model = RidgeClassifier(alpha=10).fit(train[::2] / scale, arrays["train_label"][::2])
    assert model.score(test / scale, arrays["test_label"]) > 0.8


def test_another_seed_is_another_set() -> None:
    assert not np.array_equal(made("mnist", seed=99)["train"], made("mnist")["train"])


@pytest.mark.parametrize("name", ["binarized_mnist", "caltech_silhouettes"])
def test_binary_ones_are_binary(name: str) -> None:
    arrays = made(name)
    assert set(np.unique(arrays["train"])) == {0, 1}


def test_silhouettes_have_background_one() -> None:
    corners = made("caltech_silhouettes")["train"].reshape(-1, 28, 28)[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.mean() > 0.99


def test_traps_of_the_real_files_are_there() -> None:
    assert np.all(np.diff(made("binarized_mnist")["test_label"].astype(int)) >= 0)
    assert np.all(np.diff(made("omniglot")["train_label"].astype(int)) >= 0)


def test_bernoulli_draw_has_the_grey_level_as_mean() -> None:
    level = np.repeat(np.array([0, 51, 128, 255], dtype=np.uint8), 5000).reshape(4, -1).T.copy()
    label = np.zeros(len(level), dtype=np.uint8)
    grey = dict.fromkeys(("train", "valid", "test"), level) | {"test_label": label}
    drawn = bernoulli({"seed": 0}, grey)["train"].mean(axis=0)
    mean = level[0] / 255
    assert within(drawn - mean, np.sqrt(mean * (1 - mean) / len(level)), times=5)


def test_faces_by_name() -> None:
    faces = made("celeba")["images"]
    images = faces(["000001.jpg", "000002.jpg"])
    assert images.shape == (2, 64, 64, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(made.__wrapped__("celeba")["images"](["000002.jpg"])[0], images[1])
    assert not np.array_equal(images[0], images[1])
