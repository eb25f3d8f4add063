# Document qiw: q_IW on small targets, and reconstructions of binarised MNIST.

targets["qiw"] += [
    f"figures/{{scale}}/qiw/{name}.{suffix}"
    for name in ("fig01_posterior_2d", "fig02_mnist_reconstructions", "fig03_posterior_1d")
    for suffix in ("pdf", "png")
]
targets["qiw"] += [
    "results/{scale}/qiw/tab01_bounds.csv",
    "results/{scale}/qiw/tab02_reconstruction.csv",
    "results/{scale}/qiw/tab_posterior_1d.csv",
]


rule qiw_posterior_2d:
    output:
        bounds=reported("results/{scale}/qiw/tab01_bounds.csv"),
        batches="results/{scale}/qiw/posterior_2d_batches.csv",
        density="results/{scale}/qiw/posterior_2d.npz",
    log:
        "results/{scale}/logs/qiw/posterior_2d.log",
    benchmark:
        "results/{scale}/benchmarks/qiw/posterior_2d.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("qiw.posterior_2d"),
        code=code("elbogap.experiments.qiw.posterior_2d"),
        files=files,
    message:
        "qiw: density and bounds of q_IW on the eight-Gaussian target ({wildcards.scale})"
    shell:
        "python -m elbogap qiw.posterior_2d --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule qiw_posterior_1d:
    output:
        fits=reported("results/{scale}/qiw/tab_posterior_1d.csv"),
        density="results/{scale}/qiw/posterior_1d.csv",
        histogram="results/{scale}/qiw/posterior_1d_histogram.csv",
    log:
        "results/{scale}/logs/qiw/posterior_1d.log",
    benchmark:
        "results/{scale}/benchmarks/qiw/posterior_1d.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("qiw.posterior_1d"),
        code=code("elbogap.experiments.qiw.posterior_1d"),
        files=files,
    message:
        "qiw: Gaussians fitted by the ELBO and by the IWAE bound, resampled ({wildcards.scale})"
    shell:
        "python -m elbogap qiw.posterior_1d --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule qiw_mnist_train:
    input:
        data="results/{scale}/data/binarized_mnist.json",
    output:
        parameters="results/{scale}/qiw/mnist_parameters.npz",
        curve="results/{scale}/qiw/mnist_training.csv",
    log:
        "results/{scale}/logs/qiw/mnist_train.log",
    benchmark:
        "results/{scale}/benchmarks/qiw/mnist_train.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("qiw.mnist_train"),
        code=code("elbogap.experiments.qiw.mnist_train"),
        files=files,
    message:
        "qiw: train the importance-weighted autoencoder on binarised MNIST ({wildcards.scale})"
    shell:
        "python -m elbogap qiw.mnist_train --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule qiw_mnist_classifier:
    input:
        data="results/{scale}/data/mnist.json",
    output:
        classifier="results/{scale}/qiw/mnist_classifier.npz",
        accuracy="results/{scale}/qiw/mnist_classifier_accuracy.csv",
    log:
        "results/{scale}/logs/qiw/mnist_classifier.log",
    benchmark:
        "results/{scale}/benchmarks/qiw/mnist_classifier.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=0,
    params:
        settings=settings("qiw.mnist_classifier"),
        code=code("elbogap.experiments.qiw.mnist_classifier"),
        files=files,
    message:
        "qiw: fit the classifier that reads digits ({wildcards.scale})"
    shell:
        "python -m elbogap qiw.mnist_classifier --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule qiw_mnist_reconstruct:
    input:
        data="results/{scale}/data/binarized_mnist.json",
        parameters="results/{scale}/qiw/mnist_parameters.npz",
        classifier="results/{scale}/qiw/mnist_classifier.npz",
    output:
        reconstruction=reported("results/{scale}/qiw/tab02_reconstruction.csv"),
        images="results/{scale}/qiw/mnist_reconstructions.npz",
    log:
        "results/{scale}/logs/qiw/mnist_reconstruct.log",
    benchmark:
        "results/{scale}/benchmarks/qiw/mnist_reconstruct.jsonl"
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        settings=settings("qiw.mnist_reconstruct"),
        code=code("elbogap.experiments.qiw.mnist_reconstruct"),
        files=files,
    message:
        "qiw: reconstruct test digits from q and from q_IW ({wildcards.scale})"
    shell:
        "python -m elbogap qiw.mnist_reconstruct --scale {wildcards.scale:q} --settings {params.settings:q} {params.files} "
        "--threads {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule qiw_fig01_posterior_2d:
    input:
        density="results/{scale}/qiw/posterior_2d.npz",
    output:
        pdf="figures/{scale}/qiw/fig01_posterior_2d.pdf",
        png=reported("figures/{scale}/qiw/fig01_posterior_2d.png"),
    log:
        "results/{scale}/logs/qiw/fig01_posterior_2d.log",
    benchmark:
        "results/{scale}/benchmarks/qiw/fig01_posterior_2d.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.qiw"),
        files=files,
    shell:
        "python -m elbogap figure qiw.fig01_posterior_2d --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


rule qiw_fig02_mnist_reconstructions:
    input:
        images="results/{scale}/qiw/mnist_reconstructions.npz",
        reconstruction="results/{scale}/qiw/tab02_reconstruction.csv",
    output:
        pdf="figures/{scale}/qiw/fig02_mnist_reconstructions.pdf",
        png=reported("figures/{scale}/qiw/fig02_mnist_reconstructions.png"),
    log:
        "results/{scale}/logs/qiw/fig02_mnist_reconstructions.log",
    benchmark:
        "results/{scale}/benchmarks/qiw/fig02_mnist_reconstructions.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.qiw"),
        files=files,
    shell:
        "python -m elbogap figure qiw.fig02_mnist_reconstructions --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"


rule qiw_fig03_posterior_1d:
    input:
        density="results/{scale}/qiw/posterior_1d.csv",
        histogram="results/{scale}/qiw/posterior_1d_histogram.csv",
    output:
        pdf="figures/{scale}/qiw/fig03_posterior_1d.pdf",
        png=reported("figures/{scale}/qiw/fig03_posterior_1d.png"),
    log:
        "results/{scale}/logs/qiw/fig03_posterior_1d.log",
    benchmark:
        "results/{scale}/benchmarks/qiw/fig03_posterior_1d.jsonl"
    conda:
        "../../envs/environment.yaml"
    params:
        code=code("elbogap.figures.qiw"),
        files=files,
    shell:
        "python -m elbogap figure qiw.fig03_posterior_1d --scale {wildcards.scale:q} {params.files} > {log:q} 2>&1"
