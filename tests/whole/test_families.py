"""Real architectures from transformers, built from tiny configurations: is the head found, and the right one?"""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import phiscope
from phiscope.errors import AmbiguousHeadError, NoHeadError, ShapeError
from untouched import untouched

transformers = pytest.importorskip("transformers", reason="foreign networks need the package transformers")
transformers.logging.set_verbosity_error()

IDS = torch.randint(3, 50, (6, 9), generator=torch.Generator().manual_seed(0))
IDS[1, 6:] = 0  # padding, which GPT-2 and Llama skip when they pick a position
MASK = (IDS != 0).long()
ENDED = torch.cat([IDS.clamp(min=3), torch.full((6, 1), 2)], 1)  # each text ends with token 2
LABELS = torch.arange(6) % 3
TEXT = {"input_ids": IDS, "attention_mask": MASK, "labels": LABELS}
LANGUAGE = {"input_ids": IDS, "labels": torch.where(MASK == 0, -100, IDS)}
PIXELS = {"pixel_values": torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1)), "labels": LABELS}
SOUND = {"input_values": torch.randn(6, 400, generator=torch.Generator().manual_seed(2)), "labels": LABELS}

BASE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "vocab_size": 50,
    "num_labels": 3,
}
GPT2 = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 50, "n_positions": 16, "bos_token_id": 1}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 20, "num_layers": 1, "num_heads": 2, "vocab_size": 50}
WAV2VEC2 = {
    "conv_dim": (8, 8),
    "conv_stride": (5, 2),
    "conv_kernel": (10, 3),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}
BART = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 20,
    "vocab_size": 50,
}


@dataclass(frozen=True, kw_only=True)
class Family:
    model: str
    config: str
    settings: dict[str, Any]
    batch: dict[str, Any]
    head: str
    samples: int = 6
    told: dict[str, str] = field(default_factory=dict)


PICKED = {"layout": "output['logits']: at one position of each sample"}
SHIFTED = {
    "targets": "classes, the next token at each position (labels shifted by one), as the model's own loss takes them"
}
KEPT = int(MASK.sum())

QUICK = {
    "BERT": Family(
        model="BertForSequenceClassification", config="BertConfig", settings=BASE, batch=TEXT, head="classifier"
    ),
    "GPT-2": Family(
        model="GPT2ForSequenceClassification",
        config="GPT2Config",
        settings=GPT2 | {"num_labels": 3, "pad_token_id": 0, "eos_token_id": 2},
        batch=TEXT,
        head="score",
        told=PICKED,
    ),
    "GPT-2 language": Family(
        model="GPT2LMHeadModel",
        config="GPT2Config",
        settings=GPT2 | {"eos_token_id": 2},
        batch=LANGUAGE,
        head="lm_head",
        samples=KEPT - 6,  # the first token of each text is not predicted
        told=SHIFTED,
    ),
    "Llama language": Family(
        model="LlamaForCausalLM",
        config="LlamaConfig",
        settings={key: value for key, value in BASE.items() if key != "num_labels"},
        batch=LANGUAGE,
        head="lm_head",
        samples=KEPT - 6,
        told=SHIFTED,
    ),
    "T5": Family(
        model="T5ForConditionalGeneration",
        config="T5Config",
        settings=T5 | {"decoder_start_token_id": 0, "pad_token_id": 0},
        batch=LANGUAGE,
        head="lm_head",
        samples=KEPT,
        told={"targets": "classes, one for each position, as the model's own loss takes them"},
    ),
    "ViT": Family(
        model="ViTForImageClassification",
        config="ViTConfig",
        settings=BASE | {"image_size": 32, "patch_size": 8},
        batch=PIXELS,
        head="classifier",
    ),
    "ResNet": Family(
        model="ResNetForImageClassification",
        config="ResNetConfig",
        settings={
            "embedding_size": 8,
            "hidden_sizes": [8, 16],
            "depths": [1, 1],
            "num_labels": 3,
            "layer_type": "basic",
        },
        batch=PIXELS,
        head="classifier.1",
    ),
    "Wav2Vec2": Family(
        model="Wav2Vec2ForSequenceClassification",
        config="Wav2Vec2Config",
        settings=BASE | WAV2VEC2,
        batch=SOUND,
        head="classifier",
    ),
}

SLOW = {
    "RoBERTa": Family(
        model="RobertaForSequenceClassification",
        config="RobertaConfig",
        settings=BASE | {"pad_token_id": 1},
        batch=TEXT,
        head="classifier.out_proj",
    ),
    "ELECTRA": Family(
        model="ElectraForSequenceClassification",
        config="ElectraConfig",
        settings=BASE | {"embedding_size": 8},
        batch=TEXT,
        head="classifier.out_proj",
    ),
    "DistilBERT": Family(
        model="DistilBertForSequenceClassification",
        config="DistilBertConfig",
        settings={"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 20, "vocab_size": 50, "num_labels": 3},
        batch=TEXT,
        head="classifier",
    ),
    "DeBERTa": Family(
        model="DebertaV2ForSequenceClassification",
        config="DebertaV2Config",
        settings=BASE,
        batch=TEXT,
        head="classifier",
    ),
    "ALBERT": Family(
        model="AlbertForSequenceClassification",
        config="AlbertConfig",
        settings=BASE | {"embedding_size": 8},
        batch=TEXT,
        head="classifier",
    ),
    "Llama": Family(
        model="LlamaForSequenceClassification",
        config="LlamaConfig",
        settings=BASE | {"pad_token_id": 0},
        batch=TEXT,
        head="score",
        told=PICKED,
    ),
    "Mamba language": Family(
        model="MambaForCausalLM",
        config="MambaConfig",
        settings={"hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 50, "state_size": 4},
        batch=LANGUAGE,
        head="lm_head",
        samples=KEPT - 6,
        told=SHIFTED,
    ),
    "BART": Family(
        model="BartForConditionalGeneration",
        config="BartConfig",
        settings=BART | {"pad_token_id": 0, "decoder_start_token_id": 2, "forced_eos_token_id": None},
        batch=LANGUAGE,
        head="lm_head",
        samples=KEPT,
    ),
    "BART topics": Family(
        model="BartForSequenceClassification",
        config="BartConfig",
        settings=BART | {"pad_token_id": 0, "decoder_start_token_id": 2, "eos_token_id": 2, "num_labels": 3},
        batch={"input_ids": ENDED, "labels": LABELS},
        head="classification_head.out_proj",
        samples=6,
    ),
    "BERT masked language": Family(
        model="BertForMaskedLM",
        config="BertConfig",
        settings=BASE,
        batch=LANGUAGE,
        head="cls.predictions.decoder",
        samples=KEPT,
    ),
    "BERT tags": Family(
        model="BertForTokenClassification",
        config="BertConfig",
        settings=BASE,
        batch={"input_ids": IDS, "labels": IDS % 3},
        head="classifier",
        samples=54,
    ),
    "ConvNeXT": Family(
        model="ConvNextForImageClassification",
        config="ConvNextConfig",
        settings={"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_labels": 3},
        batch=PIXELS,
        head="classifier",
    ),
    "Swin": Family(
        model="SwinForImageClassification",
        config="SwinConfig",
        settings={
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [2, 2],
            "window_size": 4,
            "num_labels": 3,
        },
        batch=PIXELS,
        head="classifier",
    ),
    "MobileNetV2": Family(
        model="MobileNetV2ForImageClassification",
        config="MobileNetV2Config",
        settings={"num_labels": 3, "image_size": 32, "depth_multiplier": 0.35},
        batch=PIXELS,
        head="classifier",
    ),
    "SegFormer": Family(
        model="SegformerForSemanticSegmentation",
        config="SegformerConfig",
        settings={
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 1, 1],
            "decoder_hidden_size": 8,
            "num_labels": 3,
        },
        batch={"pixel_values": PIXELS["pixel_values"]},
        head="decode_head.classifier",
        samples=384,
    ),
}


def built(model: str, config: str, settings: dict[str, Any]) -> torch.nn.Module:
    torch.manual_seed(0)
    made: torch.nn.Module = getattr(transformers, model)(getattr(transformers, config)(**settings))
    return made


def check(family: Family) -> None:
    model = built(family.model, family.config, family.settings)
    configuration = model.config.to_dict()
    # Some models of transformers 5 install hooks of their own in their first pass, and remember that they did:
    # those have to stay, or the model would no longer return its hidden states.
    phiscope.split(model, [family.batch])
    with untouched(model):
        measured = phiscope.measure(model, [family.batch])
        feature_map, head = phiscope.split(model, [family.batch])
    assert model.config.to_dict() == configuration
    assert head.name == family.head
    assert measured.n_samples == family.samples
    assert measured.n_outputs == head.weight.shape[0]
    for key, text in family.told.items():
        assert measured.provenance[key] == text
    # What a user would do by hand: the model's logits are the head of the features.
    inputs = {key: value for key, value in family.batch.items() if key != "labels"}
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels=family.batch["labels"])
    with torch.no_grad():
        logits = model.eval()(**inputs).logits
    if logits.ndim == 4:
        logits = logits.movedim(1, -1)
    rebuilt = head(feature_map(inputs))
    assert torch.allclose(rebuilt, logits.reshape(rebuilt.shape), atol=1e-5)
    assert not torch.allclose(rebuilt, logits.reshape(rebuilt.shape) + 1e-3, atol=1e-5)  # control


@pytest.mark.parametrize("name", QUICK)
def test_families(name):
    check(QUICK[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_more_families(name):
    check(SLOW[name])


def test_at_least_sixteen_families():
    assert len(QUICK) + len(SLOW) >= 16


TWO_TOWERS = {
    "BART, one topic": ("BartForSequenceClassification", "BartConfig", BART | {"num_labels": 3}, LABELS),
    "BART, several topics": (
        "BartForSequenceClassification",
        "BartConfig",
        BART | {"num_labels": 3},
        torch.eye(3)[LABELS],
    ),
    "T5, one topic": ("T5ForSequenceClassification", "T5Config", T5 | {"num_labels": 3}, LABELS),
    "T5 Gemma, a tag a token": ("T5GemmaForTokenClassification", "T5GemmaConfig", {"num_labels": 3}, ENDED % 3),
}
GEMMA = BASE | {"num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0}


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_the_labels_of_a_classifier_never_reach_its_decoder(name):
    model, config, settings, labels = TWO_TOWERS[name]
    if not hasattr(transformers, model):
        pytest.skip(f"this version of transformers has no {model}")
    towers = {"encoder": dict(GEMMA), "decoder": dict(GEMMA)} if "Gemma" in model else {}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0}
    net = built(model, config, settings | ends | towers | {"vocab_size": 50})
    with untouched(net):
        measured = phiscope.measure(net, [{"input_ids": ENDED, "labels": labels}])
        without = phiscope.measure(net, [{"input_ids": ENDED}])
    assert measured.n_samples == without.n_samples == (ENDED.numel() if labels.shape == ENDED.shape else len(labels))
    assert measured["effective_dimension"] == pytest.approx(without["effective_dimension"], rel=1e-6)


WITHOUT = {
    "no head at all": ("BertModel", "BertConfig", BASE, {"input_ids": IDS}, NoHeadError, "no linear layer produces"),
    "two heads": (
        "BertForPreTraining",
        "BertConfig",
        BASE,
        {"input_ids": IDS},
        AmbiguousHeadError,
        r"'cls\.predictions\.decoder'.*'cls\.seq_relationship'.*head=",
    ),
    "an output cut in two": (
        "BertForQuestionAnswering",
        "BertConfig",
        BASE | {"num_labels": 2},
        {"input_ids": IDS},
        NoHeadError,
        "'qa_outputs' returned",
    ),
    "several rows a sample": (
        "BertForMultipleChoice",
        "BertConfig",
        BASE,
        {"input_ids": IDS[:, None].repeat(1, 2, 1), "labels": LABELS % 2},
        ShapeError,
        r"\(6,\), but the head answers at 12",
    ),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_models_that_have_no_single_head_get_a_clear_error(name):
    model, config, settings, batch, error, message = WITHOUT[name]
    net = built(model, config, settings)
    with untouched(net), pytest.raises(error, match=message):
        phiscope.measure(net, [batch])


def test_the_tied_head_of_gpt2_is_the_embedding():
    family = QUICK["GPT-2 language"]
    model = built(family.model, family.config, family.settings)
    _, head = phiscope.split(model, [family.batch])
    assert model.lm_head.weight is model.transformer.wte.weight
    assert torch.equal(head.weight, model.transformer.wte.weight)
    assert head.bias is None


def test_a_linear_layer_of_transformers_may_be_the_head():
    from transformers.pytorch_utils import Conv1D

    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), Conv1D(3, 6))
    measured = phiscope.measure(net, (torch.randn(50, 4), torch.arange(50) % 3))
    assert measured.provenance["head"] == "2 (Conv1D)"
    assert (measured.n_features, measured.n_outputs) == (6, 3)


def test_a_training_with_tied_weights_is_observed(tmp_path):
    family = QUICK["GPT-2 language"]
    model = built(family.model, family.config, family.settings)
    with phiscope.Observer(model, [family.batch], run=tmp_path / "r") as observer:
        assert observer.record(epoch=0)["initial_kernel_similarity"] == pytest.approx(1.0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        assert observer.record(epoch=1)["initial_kernel_similarity"] < 0.9
