"""
Is this checkpoint better?
==========================

The loss falls to the end; what a linear reader finds in the features on other samples does not. Saved weights are
measured after the fact, on the same held-out samples.
"""

import tempfile

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x, y, folder = images.float() / 16, classes, tempfile.mkdtemp()
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(41):
    if epoch in (0, 1, 2, 5, 10, 20, 40):
        torch.save({"epoch": epoch, "model": model.state_dict()}, f"{folder}/epoch-{epoch}.pt")
    for rows in torch.randperm(1400).split(64):
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

run = phiscope.replay(model, f"{folder}/*.pt", {"test": (x[1400:], y[1400:])}, run=f"{folder}/run")
for record in run.records:
    m = record.numbers("test")
    print(f"epoch {record.epoch:2g}: held-out R2 {m['readout_r2_held_out']:.3f}, D_LR {m['dynamical_low_rank']:.3f}")
figure = run.figure("timeline")
