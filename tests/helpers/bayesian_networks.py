"""The posterior of small erf networks, sampled in the plainest way: elliptical slice sampling of all weights."""

import numpy as np
from scipy.special import erf


def sampled_kernel(x, y, *, depth, width, weight_variance, noise, steps, settle, chains=1, seed=0):
    """Mean of the top hidden layer's kernel, and the mean of each chain; no weight is integrated out."""
    means = [
        _chain(x, y, depth, width, weight_variance, noise, steps, settle, np.random.default_rng([seed, chain]))
        for chain in range(chains)
    ]
    return np.mean(means, axis=0), np.array(means)


def _chain(x, y, depth, width, g, noise, steps, settle, random):
    shapes = [(width, x.shape[1]), *[(width, width)] * (depth - 1), (1, width)]

    def fit(weights):
        h = x
        for layer, weight in enumerate(weights):
            h = np.sqrt(g / weight.shape[1]) * h @ weight.T
            if layer < depth:
                phi = h = erf(h)
        return -np.square(h[:, 0] - y).sum() / (2 * noise), g / width * phi @ phi.T

    weights = [random.normal(size=shape) for shape in shapes]
    (height, kernel), total = fit(weights), 0.0
    for step in range(steps):
        others = [random.normal(size=shape) for shape in shapes]
        level = height + np.log(random.uniform())
        angle = random.uniform(0, 2 * np.pi)
        low, high = angle - 2 * np.pi, angle
        while True:
            tried = [np.cos(angle) * a + np.sin(angle) * b for a, b in zip(weights, others, strict=True)]
            height, kernel = fit(tried)
            if height > level:
                break
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = random.uniform(low, high)
        weights = tried
        if step >= settle:
            total = total + kernel
    return total / (steps - settle)
