"""Layers of a vision transformer: where in its depth the classes come forward, before and after a short training.

python examples/vision_transformer_layers.py [FOLDER]      needs the extras transformers, studies and figures
"""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

import phiscope

SIZES = {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96}


def main(folder: str = "runs/vit") -> None:
    """Train, and measure the blocks before and after."""
    torch.manual_seed(0)
    images, classes = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    x = images.float().reshape(-1, 1, 8, 8) / 16
    model = ViTForImageClassification(ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, **SIZES))
    blocks = [name for name, module in model.named_modules() if type(module).__name__ == "ViTLayer"]
    probe = {"pixel_values": x[1400:], "labels": classes[1400:]}

    def measured() -> phiscope.Layers:
        # Of each image the class token alone; tokens="positions" would make every token a sample.
        return phiscope.measure_layers(model, probe, layers=blocks, tokens="first")

    before = measured()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(15):
        for rows in torch.randperm(1400).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]).logits, classes[rows]).backward()
            optimizer.step()
    after = measured()
    for name in blocks:
        change = (before[name]["readout_r2"], after[name]["readout_r2"])
        print(f"{name:28s} readout R2 {change[0]:.2f} -> {change[1]:.2f}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    after.figure().savefig(Path(folder) / "layers.png")
    print("picture:", Path(folder) / "layers.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
