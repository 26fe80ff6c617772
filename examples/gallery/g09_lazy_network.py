"""
What would a lazy network do?
=============================

A network that never moves its features learns with its tangent kernel at the start. How much of the classes is held by
the first nine eigenfunctions of that kernel, and how much by those of the trained features? Both are asked on digits
that the training did not see.

With ten outputs the kernel below is the trace over them, the sum of ten kernels. Gradient descent at finite width
follows the one between all outputs, ``phiscope.theory.tangent.full_tangent_kernel``.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope

torch.manual_seed(0)
images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x, y = images[:300].float() / 16, classes[:300]
others = images[300:600].float() / 16, classes[300:600]
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
lazy = phiscope.diagonalize_kernel(phiscope.tangent_kernel(model, others[0]), targets=others[1])

optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
for _ in range(300):
    loss = nn.functional.mse_loss(model(x), nn.functional.one_hot(y).float())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
trained = phiscope.measure(model, others)

for name, m in (("tangent kernel at the start", lazy), ("trained features", trained)):
    held = m.centered.cumulative_quality
    print(f"{name}: {100 * held[min(9, len(held)) - 1]:.0f} % of the classes on the first nine eigenfunctions")
figure = lazy.figure("classes")
