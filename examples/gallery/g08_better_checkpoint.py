"""
Is this checkpoint better?
==========================

The training loss falls a hundredfold. What a linear reader finds in the features of other samples (held-out R²) moves
between 0.67 and 0.72 with intervals that all overlap: by these features no checkpoint is shown to be better.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope
from phiscope.figures.paper.drawing import Drawing

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x, y, saved = images.float() / 16, classes, {}
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for epoch in range(41):
    if epoch in (1, 2, 5, 10, 20, 40):
        saved[epoch] = {name: value.clone() for name, value in model.state_dict().items()}
    for rows in torch.randperm(1400).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()

figure = Drawing(figsize=(7, 2.5), layout="constrained")
left, right = figure.subplots(1, 2)
for epoch, weights in saved.items():
    model.load_state_dict(weights)
    loss, m = nn.functional.cross_entropy(model(x[:1400]), y[:1400]), phiscope.measure(model, (x[1400:], y[1400:]))
    r2, (low, high) = m.estimate("readout_r2_held_out").value, m.interval("readout_r2_held_out")
    print(f"epoch {epoch:2d}: training loss {loss:.4f}, held-out R2, corrected, {r2:.3f} ({low:.3f} to {high:.3f})")
    left.semilogy(epoch, loss.item(), "C0o")
    right.errorbar(epoch, r2, [[r2 - low], [high - r2]], fmt="C0o")
left.set(xlabel="epoch", title="loss on training samples")
right.set(xlabel="epoch", title="held-out R² (95 %)")
