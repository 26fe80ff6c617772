"""
Lazy or rich?
=============

Two trainings that differ only by how large the outputs are made. With large outputs the features hardly move (S_init
stays near 1). The picture is of the other training.
"""

import tempfile

import torch
from sklearn.datasets import load_digits
from torch import nn

import phiscope


def trained(scale: float, rate: float) -> phiscope.Run:
    torch.manual_seed(0)
    images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    x, y = images.float() / 16, nn.functional.one_hot(classes).float()
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10, bias=False))
    start = (scale * model(x)).detach()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate / scale**2)
    folder = tempfile.mkdtemp() + "/run"
    with phiscope.Observer(model, (x, classes), run=folder) as observer:
        observer.record(epoch=0)
        for epoch in range(1, 201):
            loss = ((scale * model(x) - start - y) ** 2).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            m = observer.record(epoch=epoch, train_loss=loss.item()) if epoch in (10, 50, 200) else None
    print(f"outputs times {scale:g}: loss {loss.item():.2f}, S_init {m['initial_kernel_similarity']:.3f}")
    return phiscope.open_run(folder)


lazy, rich = trained(30.0, 0.3), trained(0.1, 0.01)
figure = rich.figure("timeline")
