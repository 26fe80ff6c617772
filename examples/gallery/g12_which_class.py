"""
Which class lives where?
========================

The mean of every class on every leading eigenfunction: which digits the first feature tells apart, and which two are
told apart only by a late one.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
data = (images.float() / 16, classes)
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(20):
    for rows in torch.randperm(len(classes)).split(64):
        loss = nn.functional.cross_entropy(model(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

m = phiscope.measure(model, data)
first = m.eigenfunctions(model[:-1](data[0]).detach(), centered=True)[:, 0]
print("mean of the first eigenfunction:", {k: round(float(first[classes == k].mean()), 1) for k in range(10)})
figure = m.figure("classes")
