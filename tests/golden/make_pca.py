"""Golden fixtures of the principal components of windows, from scikit-learn.

`pca` has more windows than values, `pca_wide` fewer: the Rust core takes another way for each.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.decomposition import PCA

HERE = Path(__file__).parent
CASES = {"pca": (60, 24, 5, 11), "pca_wide": (20, 48, 5, 12)}


def make(name, n, width, rank, seed):
    rng = np.random.default_rng(seed)
    scales = 3.0 * 0.7 ** np.arange(rank + 2)
    windows = (rng.normal(0, 1, (n, rank + 2)) * scales) @ rng.normal(0, 0.3, (rank + 2, width))
    windows += rng.normal(0, 0.2, (n, width)) + rng.normal(0, 1, width)
    windows = windows.astype(np.float32).astype(np.float64)

    pca = PCA(n_components=rank, svd_solver="full").fit(windows)
    components = pca.components_.copy()
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(rank), largest])[:, None]
    variances = pca.explained_variance_ * (n - 1) / n  # scikit-learn divides by n - 1
    arrays = {
        "windows": windows,
        "mean": pca.mean_,
        "components": components,
        "variances": variances,
        "reconstruction": pca.inverse_transform(pca.transform(windows)),
    }
    gaps = variances[:-1] / variances[1:]
    assert gaps.min() > 1.1, gaps  # or the components would not be determined in 32 bits

    arrays = {key: np.ascontiguousarray(value, dtype=np.float32) for key, value in arrays.items()}
    config = {"windows": n, "width": width, "rank": rank}
    path = HERE / f"{name}.safetensors"
    save_file(arrays, path, metadata={"config": json.dumps(config, sort_keys=True)})
    print(f"{path.name}: {path.stat().st_size} bytes, variances {variances.round(4).tolist()}")


if __name__ == "__main__":
    for name, sizes in CASES.items():
        make(name, *sizes)
