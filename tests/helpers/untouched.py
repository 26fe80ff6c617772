"""A network and every random state before and after a call, compared bit by bit."""

import random
from contextlib import contextmanager

import numpy as np
import torch

HOOK_TABLES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def fingerprint(model):
    """Everything a measurement has to leave as it was, as comparable values by name."""
    told = {
        "python random": random.getstate(),
        "numpy random": (np.random.get_state()[1].tobytes(), *np.random.get_state()[2:]),
        "torch random": torch.get_rng_state().numpy().tobytes(),
        "grad mode": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
    }
    for name, module in model.named_modules():
        told[f"mode of {name}"] = module.training
        told[f"hooks of {name}"] = tuple(len(getattr(module, table)) for table in HOOK_TABLES)
        for kind in ("_parameters", "_buffers"):
            for key, tensor in getattr(module, kind).items():
                if tensor is not None:
                    told[f"{name}.{key}"] = (
                        id(tensor),
                        tensor.requires_grad,
                        tensor.grad is None,
                        tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
                    )
    return told


@contextmanager
def untouched(model):
    """Fail unless the block leaves the model and the random states as they were, also when it raises."""
    before = fingerprint(model)
    try:
        yield
    finally:
        after = fingerprint(model)
        changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        assert changed == [], f"changed: {changed}"
