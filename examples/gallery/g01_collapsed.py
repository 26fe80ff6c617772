"""
Is it in neural collapse?
=========================

A network that has nothing left but its classes shows a cliff: as many strong eigenvalues as classes less one, and the
outputs (Π̂) and the targets (Π*) are held by just these.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
data = (images.float() / 16, classes)
model = nn.Sequential(*(part for n in (64, 128, 128) for part in (nn.Linear(n, 128), nn.ReLU())), nn.Linear(128, 10))
wanted = nn.functional.one_hot(classes, 10).float()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
for _ in range(40):
    for rows in torch.randperm(len(classes)).split(128):
        loss = nn.functional.mse_loss(model(data[0][rows]), wanted[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

m = phiscope.measure(model, data)
print(m.evidence.sentence())
print(f"D_LR {m['dynamical_low_rank_centered']:.3f}, NC1 {m['nc1']:.2f}, D_eff {m['effective_dimension_centered']:.1f}")
figure = m.figure()
