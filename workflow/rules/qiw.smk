# Document qiw: q_IW on small targets, and reconstructions of binarised MNIST.

experiment(
    "qiw.posterior_2d",
    "density and bounds of q_IW on the eight-Gaussian target",
    outputs="bounds=tab01_bounds.csv batches=posterior_2d_batches.csv density=posterior_2d.npz",
)
experiment(
    "qiw.posterior_1d",
    "Gaussians fitted by the ELBO and by the IWAE bound, resampled",
    outputs="divergences=tab_divergences.csv fits=tab_posterior_1d.csv density=posterior_1d.csv histogram=posterior_1d_histogram.csv",
)
experiment(
    "qiw.mnist_train",
    "train the importance-weighted autoencoder on binarised MNIST",
    inputs="data=data/binarized_mnist.json",
    outputs="parameters=mnist_parameters.npz curve=mnist_training.csv",
    gpu=1,
)
experiment(
    "qiw.mnist_classifier",
    "fit the classifier that reads digits",
    inputs="data=data/mnist.json",
    outputs="classifier=mnist_classifier.npz accuracy=mnist_classifier_accuracy.csv",
)
experiment(
    "qiw.mnist_reconstruct",
    "reconstruct test digits from q and from q_IW",
    inputs="data=data/binarized_mnist.json parameters=mnist_parameters.npz classifier=mnist_classifier.npz",
    outputs="reconstruction=tab02_reconstruction.csv images=mnist_reconstructions.npz",
    gpu=1,
)
experiment(
    "qiw.mnist_kl",
    "exact divergences of q_IW on test digits",
    inputs="data=data/binarized_mnist.json parameters=mnist_parameters.npz",
    outputs="kl=tab_mnist_kl.csv",
)

figure("qiw.fig01_posterior_2d", "density=posterior_2d.npz")
figure(
    "qiw.fig02_mnist_reconstructions",
    "images=mnist_reconstructions.npz reconstruction=tab02_reconstruction.csv",
)
figure("qiw.fig03_posterior_1d", "density=posterior_1d.csv histogram=posterior_1d_histogram.csv")
