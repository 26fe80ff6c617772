"""The first minute: train a small network on handwritten digits, then ask what features it learned.

python examples/quickstart.py
"""

import torch
from torch import nn

import phiscope
from phiscope.studies.datasets.images import load_images


def main() -> None:
    """Train as anybody does, measure in one line, print."""
    torch.manual_seed(0)
    digits = load_images("digits")
    model = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(64, 10)),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(digits.train_x, digits.train_y), batch_size=64)
    for _ in range(10):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    m = phiscope.measure(model, loader)
    print(m)


if __name__ == "__main__":
    main()
