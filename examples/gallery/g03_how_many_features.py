"""
How many features?
==================

A layer of 512 units may carry a dozen features. The effective dimension, here without the mean, counts them, with an
interval for the population that the samples were drawn from.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
data = (images.float() / 16, classes)
for width in (32, 128, 512):
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(20):
        for rows in torch.randperm(len(classes)).split(128):
            loss = nn.functional.cross_entropy(model(data[0][rows]), data[1][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    m = phiscope.measure(model, data)
    low, high = m.interval("effective_dimension_centered")
    print(f"width {width:3d}: D_eff {m['effective_dimension_centered']:.1f} ({low:.1f} to {high:.1f})")
figure = m.figure()
