"""
Which layer?
============

Where in depth the classes come forward: what a linear reader finds in each layer (R²), and how many features each has
(D_eff). Here the first layer holds most of it; R² rises to the last one, while the number of features falls to a few.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
data = (images.float() / 16, classes)
layers = [part for _ in range(6) for part in (nn.Linear(64, 64), nn.ReLU())]
model = nn.Sequential(*layers, nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(30):
    for rows in torch.randperm(len(classes)).split(64):
        loss = nn.functional.cross_entropy(model(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

measured = phiscope.measure_layers(model, data)
for name, m in measured.items():
    print(f"{name:10s} readout R2 {m['readout_r2']:.3f}  D_eff {m['effective_dimension_centered']:5.1f}")
figure = measured.figure()
