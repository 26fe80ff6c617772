"""What a run keeps of a training's settings: what was changed, never a secret, a place or the machine."""

from dataclasses import dataclass, field
from enum import Enum

import pytest
import torch
from torch import nn

from phiscope.integrations.settings import changed_fields, kept_settings, may_keep, optimizer_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hub_token", "hf_abc"),
        ("token", 12345),
        ("api_key", "x"),
        ("wandb_api_key", "x"),
        ("password", 1234),
        ("auth", True),
        ("output_dir", "out"),
        ("logging_dir", "out"),
        ("resume_from_checkpoint", "last"),
        ("data", "/home/somebody/data"),
        ("data", "~/data"),
        ("data", "C:\\data"),
        ("data", "s3://bucket/data"),
        ("run_name", "mine"),
        ("project", "secret project"),
        ("note", "somebody@example.org"),
        ("anything", "a8F3kLm29QwErTy81Zx0"),
        ("anything", "x" * 61),
        ("anything", ""),
        ("anything", None),
        ("anything", {"a": 1}),
        ("anything", object()),
        ("paths", ["a", "b"]),
        ("anything", ["fine", "/etc/passwd"]),
    ],
)
def test_what_a_run_must_not_keep(name, value):
    assert not may_keep(name, value)
    assert kept_settings({name: value}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.1),
        ("max_tokens", 512),
        ("lr_scheduler_type", "cosine"),
        ("bf16", True),
        ("betas", [0.9, 0.999]),
        ("per_device_train_batch_size", 8),
        ("optim", "adamw_torch_fused"),
        ("keyboard", "us"),
        ("seed", 0),
    ],
)
def test_what_a_run_keeps(name, value):
    assert kept_settings({name: value}) == {name: value}


class Kind(Enum):
    A = "a kind"
    B = "b kind"


@dataclass
class Arguments:
    epochs: int = 3
    kind: Kind = Kind.A
    layers: list = field(default_factory=lambda: [1])
    token: str = "none"
    needed: str = field(default="x", init=False)


def test_only_what_differs_from_the_defaults_is_kept():
    assert changed_fields(Arguments()) == {}
    assert changed_fields(Arguments(epochs=4, kind=Kind.B, layers=[2], token="hf_1")) == {
        "epochs": 4,
        "kind": "b kind",
        "layers": [2],
    }


def test_the_optimizer_says_its_rate_at_the_start_and_what_was_changed():
    parameters = [nn.Parameter(torch.zeros(2))]
    made = torch.optim.AdamW(parameters, lr=0.5, betas=(0.8, 0.9))
    schedule = torch.optim.lr_scheduler.LambdaLR(made, lambda step: 0.1)
    assert optimizer_settings([made])["learning_rate"] == 0.5
    assert optimizer_settings([made]) == {"optimizer": "AdamW", "learning_rate": 0.5, "betas": [0.8, 0.9]}
    assert schedule.get_last_lr() == [0.05]
    assert optimizer_settings([]) == {}
    assert optimizer_settings(["no optimizer"]) == {}
