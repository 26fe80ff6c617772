"""
Is my head using what is there?
===============================

The curves say which eigenfunctions hold the targets (Π*) and which the outputs use (Π̂). Here a head was trained for
one epoch only: what it loses beside the best linear head on the same features is the excess loss.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
data = (images.float() / 16, classes)
model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
for rows in torch.randperm(len(classes)).split(64):
    loss = nn.functional.cross_entropy(model(data[0][rows]), data[1][rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

m = phiscope.measure(model, data)
accuracy = (model(data[0]).argmax(dim=1) == classes).float().mean()
print(
    f"accuracy {accuracy:.3f}; a linear reader finds R2 {m['readout_r2']:.3f}, held out {m['readout_r2_held_out']:.3f}"
)
print(f"loss beyond the best linear head's: {m['head_excess_loss']:.3f}")
figure = m.figure("curves")
