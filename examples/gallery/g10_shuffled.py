"""
Did it learn, or only remember?
===============================

D_LR falls for shuffled labels as well: near 0 it says that features are little more than the outputs, and that is no
praise. What a reader of the true classes finds on other samples tells the two apart (the picture: shuffled labels).
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x, test = images.float() / 16, slice(1400, None)


def measured(labels: torch.Tensor) -> tuple[float, phiscope.Measurement, phiscope.Measurement]:
    """Train on 1,400 labels; D_LR before, measured on these, and on others with their own classes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    start = phiscope.measure(model, (x[:1400], labels[:1400]))["dynamical_low_rank_centered"]
    for _ in range(50):
        for rows in torch.randperm(1400).split(64):
            loss = nn.functional.cross_entropy(model(x[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return start, phiscope.measure(model, (x[:1400], labels[:1400])), phiscope.measure(model, (x[test], classes[test]))


shuffled = classes[torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))]
for name, labels in (("true labels", classes), ("shuffled labels", shuffled)):
    start, train, other = measured(labels)
    print(f"{name}: D_LR {start:.2f} -> {train['dynamical_low_rank_centered']:.2f}, R2 {train['readout_r2']:.2f}")
    print(f"  on other samples, held out: {other['readout_r2_held_out']:.2f}")
figure = other.figure("curves")
