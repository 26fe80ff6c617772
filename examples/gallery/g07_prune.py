"""
What can I prune?
=================

Units ordered by what a linear reader of the classes would miss without them. The curve is flat until few are left.
Networks of these few, in which the others are taken over by least squares, are compared with the whole one on samples
that neither the training nor the cut has seen.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope
from phiscope import surgery

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x = images.float() / 16
train, test = (x[:1400], classes[:1400]), (x[1400:], classes[1400:])
model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(25):
    for rows in torch.randperm(1400).split(64):
        loss = nn.functional.cross_entropy(model(train[0][rows]), train[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

for keep in (64, 32, 16, 12, 8):
    left = model if keep == 64 else surgery.remove_units(model, train, keep=keep).model
    right = (left(test[0]).argmax(dim=1) == test[1]).float().mean()
    print(f"{keep} of 64 units: accuracy {right:.3f} on other samples")
figure = surgery.score_units(phiscope.measure(model, train)).figure()
