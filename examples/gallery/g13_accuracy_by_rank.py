"""
How many eigenfunctions does the accuracy need?
===============================================

The network's own head on the k leading eigenfunctions only, for every k, on samples that it has not seen.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x = images.float() / 16
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(30):
    for rows in torch.randperm(1400).split(64):
        loss = nn.functional.cross_entropy(model(x[rows]), classes[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

m = phiscope.measure(model, (x[:1400], classes[:1400]))
restriction = phiscope.restrict(m, [(x[1400:], classes[1400:])], model)
print(f"99 % of the accuracy from {restriction.least_k()} eigenfunctions on, of {len(restriction.loss) - 1}")
figure = restriction.figure()
