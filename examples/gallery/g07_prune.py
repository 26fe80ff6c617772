"""
What can I prune?
=================

Units ordered by what a linear reader of the classes would miss without them. The curve is flat until few are left,
and a network of these few, in which the others are taken over by least squares, answers as before.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope
from phiscope import surgery

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
data = (images.float() / 16, classes)
model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(25):
    for rows in torch.randperm(len(classes)).split(64):
        loss = nn.functional.cross_entropy(model(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

for keep in (32, 16, 12, 8):
    smaller = surgery.remove_units(model, data, keep=keep)
    right = (smaller.model(data[0]).argmax(dim=1) == classes).float().mean()
    print(f"{keep} of 64 units: accuracy {right:.3f}")
figure = surgery.score_units(phiscope.measure(model, data)).figure()
