"""A short training, saved in every form that people save it in."""

import json

import torch
from safetensors.torch import save_file
from torch import nn

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3
DATA = {"train": (X, Y), "test": (X[:40], Y[:40])}


class Net(nn.Module):
    """Batch norm, so that buffers have to be restored as well."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh())
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(x))


def made_net():
    torch.manual_seed(0)
    return Net()


def made_data():
    return DATA


def states(epochs=4):
    """The weights of a training, before it and after each epoch."""
    net = made_net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    found = [{name: tensor.clone() for name, tensor in net.state_dict().items()}]
    for _ in range(epochs - 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(X), Y).backward()
        optimizer.step()
        found.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
    return found


def save_trainer_folder(folder, state, *, epoch, step, shards=1):
    """What the Trainer of transformers leaves."""
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"epoch": epoch, "global_step": step, "log_history": []}))
    if shards == 1:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(state)
    weight_map = {}
    for part in range(shards):
        file = f"model-{part + 1:05d}-of-{shards:05d}.safetensors"
        own = {name: state[name] for name in names[part::shards]}
        save_file(own, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(own, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
