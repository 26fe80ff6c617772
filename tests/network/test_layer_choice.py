"""Which layers "auto" takes: blocks and stages of real architectures, chains of single layers, wrappers."""

import pytest
import torch
from torch import nn

import phiscope
from layered_networks import FLAT, Twice, Y
from phiscope.errors import UnknownNameError
from untouched import untouched

transformers = pytest.importorskip("transformers", reason="foreign networks need the package transformers")
transformers.logging.set_verbosity_error()
X = torch.randn(30, 3, 16, 16, generator=torch.Generator().manual_seed(0))
IDS = torch.randint(3, 50, (12, 9), generator=torch.Generator().manual_seed(0))
MASK = torch.arange(9)[None] < (torch.arange(12) % 5 + 5)[:, None]
LABELS = torch.arange(12) % 3


def chosen(net, data, **options):
    return list(phiscope.measure_layers(net, data, **options))


def conv(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.first, self.second, self.relu = conv(inputs, width), conv(width, width), nn.ReLU()
        self.skip = nn.Sequential(nn.Conv2d(inputs, width, 1), nn.BatchNorm2d(width))

    def forward(self, x):
        return self.relu(self.skip(x) + self.second(self.first(x)))


class Vision(nn.Module):
    """As torchvision writes a residual network."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.relu, self.pool = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(Residual(4, 4), Residual(4, 4))
        self.layer2 = nn.Sequential(Residual(4, 8))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 3)

    def forward(self, x):
        x = self.layer2(self.layer1(self.pool(self.relu(self.bn1(self.conv1(x))))))
        return self.fc(self.avgpool(x).flatten(1))


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def test_a_perceptron_gives_its_activations_and_the_head():
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(768, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 5), nn.Tanh()
    )
    net.append(nn.Dropout()).append(nn.Linear(5, 3))
    layers = phiscope.measure_layers(net, X)
    assert list(layers) == ["3", "8"]
    assert "'8' reads" in layers.left_out["6"]


def test_stem_and_residual_blocks():
    net = Vision()
    assert chosen(net, X) == ["pool", "layer1.0", "layer1.1", "fc"]
    assert chosen(Wrapped(net), X) == [f"inner.{name}" for name in ("pool", "layer1.0", "layer1.1", "fc")]
    # Flattened, the last block is not what the head reads.
    assert chosen(net, X, maps="flattened") == ["pool", "layer1.0", "layer1.1", "layer2.0", "fc"]


def test_sequences_of_sequences_are_opened_and_a_lone_block_too():
    stages = nn.Sequential(conv(3, 4), nn.Sequential(conv(4, 4), nn.MaxPool2d(2)), conv(4, 5))
    net = nn.Sequential(stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3))
    assert chosen(net, X) == ["0.0.2", "0.1.1", "3"]
    assert chosen(nn.Sequential(Wrapped(stages), *net[1:]), X) == ["0.inner.0.2", "0.inner.1.1", "3"]


def test_a_network_that_is_its_head():
    assert chosen(nn.Linear(4, 2), torch.randn(20, 4)) == [""]


BASE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20, "num_labels": 3}
TEXT = {"input_ids": IDS, "attention_mask": MASK.long(), "labels": LABELS}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50, "n_positions": 16, "bos_token_id": 1}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "layer_type": "basic", "num_labels": 3}
IMAGES = {"pixel_values": torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(1)), "labels": LABELS}


def bert():
    return transformers.BertForSequenceClassification(transformers.BertConfig(**BASE, vocab_size=50))


def vit():
    return transformers.ViTForImageClassification(transformers.ViTConfig(**BASE, image_size=32, patch_size=8))


def resnet():
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**RESNET))


def gpt2():
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2, eos_token_id=2))


def llama():
    settings = {name: value for name, value in BASE.items() if name != "num_labels"}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings, vocab_size=50))


def t5():
    settings = {"d_model": 16, "d_kv": 8, "d_ff": 20, "num_layers": 1, "num_heads": 2, "vocab_size": 50}
    settings |= {"decoder_start_token_id": 0, "pad_token_id": 0}
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**settings))


LANGUAGE = {"input_ids": IDS, "labels": IDS}


@pytest.mark.parametrize(
    ("build", "batch", "names"),
    [
        (bert, TEXT, ["bert.embeddings", "bert.encoder.layer.0", "bert.encoder.layer.1", "classifier"]),
        (vit, IMAGES, ["vit.embeddings", None, None, "classifier"]),
        (resnet, IMAGES, ["resnet.embedder", "resnet.encoder.stages.0", "classifier.1"]),
        (gpt2, LANGUAGE, ["transformer.wte", "transformer.h.0", "transformer.h.1", "lm_head"]),
        (llama, LANGUAGE, ["model.embed_tokens", "model.layers.0", "model.layers.1", "lm_head"]),
        (t5, LANGUAGE, ["decoder.embed_tokens", "decoder.block.0", "lm_head"]),
    ],
)
def test_families(build, batch, names):
    torch.manual_seed(0)
    net = build()
    if getattr(net, "shared", None) is not None and net.shared is net.decoder.embed_tokens:
        # Before transformers 5 both texts went through one module, which is two layers: one for each call.
        names = ["shared@1", "shared@2", *names[1:]]
    layers = phiscope.measure_layers(net, batch)
    assert len(layers) == len(names)
    assert all(name in (found, None) for name, found in zip(names, layers, strict=True))
    whole = phiscope.measure(net, batch)
    assert layers[names[-1]].to_dict() == whole.to_dict()
    assert {one.n_samples for one in layers.values()} == {whole.n_samples}


def test_the_input_texts_positions_are_not_the_output_texts():
    left_out = phiscope.measure_layers(t5(), LANGUAGE).left_out
    assert "positions are those of the input text" in left_out["encoder.block.0"]


def test_a_pooled_text_has_no_padding_in_it():
    torch.manual_seed(0)
    net = bert().eval()
    told = []
    hook = net.bert.encoder.layer[0].register_forward_hook(
        lambda module, args, output: told.append(output[0] if isinstance(output, tuple) else output)
    )
    with torch.no_grad():
        outputs = net(**{name: value for name, value in TEXT.items() if name != "labels"}).logits
    hook.remove()
    features = torch.stack([one[kept].mean(0) for one, kept in zip(told[0], MASK, strict=True)])
    twin = phiscope.diagonalize(features, outputs=outputs, targets=LABELS)
    measured = phiscope.measure_layers(net, TEXT)["bert.encoder.layer.0"]
    for name in ("effective_dimension_centered", "dynamical_low_rank", "used_variance", "target_alignment"):
        assert measured[name] == pytest.approx(twin[name], rel=1e-4)


def test_a_position_that_the_model_picks_takes_two_passes_and_is_heard_once():
    torch.manual_seed(0)
    config = transformers.GPT2Config(**GPT2, num_labels=3, pad_token_id=0, eos_token_id=2)
    net = transformers.GPT2ForSequenceClassification(config)
    with torch.no_grad():
        # Equal outputs everywhere: the picked position can only be found by a second pass.
        net.score.weight.zero_()
    layers = phiscope.measure_layers(net, TEXT, ["transformer.h.*", "score"], tokens="last")
    assert layers["score"].to_dict() == phiscope.measure(net, TEXT).to_dict()
    assert layers["transformer.h.1"].n_samples == 12


@pytest.mark.parametrize(("name", "near"), [("actt", "act"), ("haed", "head"), ("z*", "a, act")])
def test_unknown_names_offer_the_nearest(name, near):
    net = Twice()
    with untouched(net), pytest.raises(UnknownNameError, match=near) as caught:
        phiscope.measure_layers(net, (FLAT, Y), [name])
    assert caught.value.name == name
