"""
Did two runs learn the same?
============================

Two networks that differ by their seed: eigenfunctions are compared one with another on the same samples. The leading
ones agree, up to a turn among equals (the bars); the weak ones are each network's own.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x = images.float() / 16


def features(seed: int) -> torch.Tensor:
    """Train with a seed; what the head reads, (n, 128)."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(25):
        for rows in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(model(x[rows]), classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return model[:-1](x)


compared = phiscope.compare(features(0), features(1), k=15)
print(f"CKA {compared.cka:.3f}")
figure = compared.figure()
