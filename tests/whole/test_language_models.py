"""Language models: which label belongs to which position, and what of a text counts."""

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import phiscope
from phiscope.errors import InputError

WORDS, PAD = 40, 0
SMALL = {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
FFN = {"intermediate_size": 32}
BART = {"vocab_size": WORDS, "d_model": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} | {
    f"{side}_{what}": size
    for side in ("encoder", "decoder")
    for what, size in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16, "vocab_size": WORDS, "bos_token_id": 1}


def gpt2(kind=transformers.GPT2LMHeadModel, **more):
    torch.manual_seed(1)
    return kind(transformers.GPT2Config(**GPT2 | {"eos_token_id": 2} | more)).eval()


# Shifted or not by the model's own loss; the names say the opposite for half of them.
MODELS = {
    "GPT2LMHeadModel": (gpt2, True),
    "GPT2DoubleHeadsModel": (lambda: gpt2(transformers.GPT2DoubleHeadsModel, num_labels=1), True),
    "Llama": (lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, **FFN)), True),
    "Gemma2, soft cap, tied": (
        lambda: transformers.Gemma2ForCausalLM(
            transformers.Gemma2Config(**SMALL, **FFN, head_dim=8, num_key_value_heads=1, final_logit_softcapping=1.0)
        ),
        True,
    ),
    "BartForCausalLM": (lambda: transformers.BartForCausalLM(transformers.BartConfig(**BART)), False),
    "XLNetLMHeadModel": (
        lambda: transformers.XLNetLMHeadModel(
            transformers.XLNetConfig(vocab_size=WORDS, d_model=16, n_layer=2, n_head=2, d_inner=32)
        ),
        False,
    ),
    "BertForMaskedLM": (lambda: transformers.BertForMaskedLM(transformers.BertConfig(**SMALL, **FFN)), False),
    "BartForConditionalGeneration": (
        lambda: transformers.BartForConditionalGeneration(transformers.BartConfig(**BART)),
        False,
    ),
}


def texts(n=24, length=10, side="right"):
    """Texts of different lengths, padded, whose first two tokens are a prompt that nothing is learned from."""
    g = torch.Generator().manual_seed(4)
    ids = torch.randint(3, WORDS, (n, length), generator=g)
    mask = torch.ones_like(ids)
    for row in range(n):
        missing = row % 4
        if missing:
            mask[row, -missing:] = 0
    labels = ids.clone()
    labels[:, :2] = -100
    if side == "left":
        ids, mask, labels = ids.flip(1), mask.flip(1), labels.flip(1)
    ids[mask == 0] = PAD
    labels[mask == 0] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def by_hand(model, batch, shifted, decoder=False):
    """Features that the head reads and the token each predicts, position by position in a loop."""
    heard = []
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0]))
    with torch.no_grad():
        model.eval()(**batch)
    handle.remove()
    hidden = heard[0]
    labels, mask = batch["labels"], batch["attention_mask"]
    features, tokens = [], []
    for text in range(len(labels)):
        for at in range(labels.shape[1]):
            to = at + 1 if shifted else at
            if to >= labels.shape[1] or labels[text, to] == -100:
                continue
            if decoder or (mask[text, at] and mask[text, to]):
                features.append(hidden[text, at])
                tokens.append(int(labels[text, to]))
    bias = head.bias
    matrix = head.weight.detach().numpy(), None if bias is None else bias.detach().numpy()
    return torch.stack(features).numpy(), np.array(tokens), matrix


NUMBERS = ("dynamical_low_rank", "readout_r2", "target_alignment", "used_variance", "nc1", "effective_dimension")


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", MODELS)
def test_labels_belong_where_the_models_own_loss_has_them(name, side):
    make, shifted = MODELS[name]
    torch.manual_seed(2)
    model, batch = make().eval(), texts(side=side)
    measured = phiscope.measure(model, batch)
    decoder = name.endswith("ConditionalGeneration")
    features, tokens, head = by_hand(model, batch, shifted, decoder)
    twin = phiscope.diagonalize(features, head=head, targets=tokens, num_classes=WORDS)
    assert measured.n_samples == len(tokens)
    for number in NUMBERS:
        assert measured[number] == pytest.approx(twin[number], rel=1e-4, abs=1e-6), number
    assert ("shifted by one" in measured.provenance["targets"]) == shifted
    assert "as the model's own loss takes them" in measured.provenance["targets"]
    # The control: the other reading is another measurement.
    other = phiscope.measure(model, batch, next_token=not shifted)
    assert abs(other["readout_r2"] - measured["readout_r2"]) > 1e-3
    assert f"as next_token={not shifted} says" in other.provenance["targets"]


def test_every_way_to_measure_takes_the_same_labels():
    model, batch = gpt2(transformers.GPT2DoubleHeadsModel, num_labels=1), texts()
    one = phiscope.measure(model, batch)
    layers = phiscope.measure_layers(model, batch)
    assert layers["lm_head"]["readout_r2"] == pytest.approx(one["readout_r2"], rel=1e-9)
    block = phiscope.measure(model, batch, features="transformer.h.1")
    assert "shifted by one" in block.provenance["targets"]
    assert layers["transformer.h.1"]["readout_r2"] == pytest.approx(block["readout_r2"], rel=1e-9)
    before = phiscope.measure_layers(model, batch, next_token=False)["lm_head"]
    assert before["readout_r2"] == pytest.approx(phiscope.measure(model, batch, next_token=False)["readout_r2"])


class Echo(nn.Module):
    """Features are the word itself, one of two; no loss, no telling name."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(2, 2), nn.Linear(2, 2)
        self.embed.weight.data = torch.eye(2)

    def forward(self, input_ids):
        return self.head(self.embed(input_ids))


def test_next_token_in_closed_form():
    # Every pair of words comes once: the next word says nothing of this one, and this one all of itself.
    words = torch.tensor([[0, 0, 1, 1, 0]])
    shifted = phiscope.measure(Echo(), (words, words), next_token=True)
    assert (shifted.n_samples, shifted["readout_r2"], shifted["target_alignment"]) == (4, pytest.approx(0), 0)
    aligned = phiscope.measure(Echo(), (words, words), next_token=False)
    assert (aligned.n_samples, aligned["readout_r2"]) == (5, pytest.approx(1))
    assert aligned["target_alignment"] == pytest.approx(1)


def test_what_cannot_be_told_is_said():
    words = torch.randint(2, (6, 5), generator=torch.Generator().manual_seed(0))
    measured = phiscope.measure(Echo(), (words, words))
    assert any("next_token=True" in warning for warning in measured.warnings)
    with pytest.raises(InputError, match=r"no targets beside answers at 6 x 5 positions.*labels=input_ids"):
        phiscope.measure(Echo(), words, next_token=True)
    with pytest.raises(InputError, match=r"\(6, 5\) and torch.float32"):
        phiscope.measure(Echo(), (words, words.float()), next_token=True)
    with pytest.raises(InputError, match="next_token is 1; expected True, False, or None"):
        phiscope.measure(Echo(), (words, words), next_token=1)


class Deaf(Echo):
    """A loss that cannot be computed, and a name that says what it is."""

    def forward(self, input_ids, labels=None):
        if labels is not None:
            raise KeyError("no loss today")
        return {"logits": super().forward(input_ids)}


class DeafForCausalLM(Deaf):
    """The same by another name."""


def test_a_loss_that_cannot_be_asked_leaves_it_to_the_name():
    words = torch.randint(2, (6, 5), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": words, "labels": words}
    named = phiscope.measure(DeafForCausalLM(), batch)
    assert named.n_samples == 24
    assert "by the model's class name (its loss could not be asked: KeyError)" in named.provenance["targets"]
    assert phiscope.measure(Deaf(), batch).n_samples == 30


def test_labels_that_were_shifted_already_are_taken_as_they_are():
    model, ids = gpt2(), texts()["input_ids"]
    shifted = phiscope.measure(model, (ids[:, :-1], ids[:, 1:]))
    assert shifted.n_samples == ids[:, 1:].numel()
    assert "shifted by one" not in shifted.provenance["targets"]


def test_text_that_is_all_prompt_is_refused_with_its_count():
    batch = texts()
    batch["labels"] = torch.full_like(batch["labels"], -100)
    with pytest.raises(phiscope.PhiscopeError, match="left out by label -100"):
        phiscope.measure(gpt2(), batch)


def test_asking_the_loss_leaves_no_trace():
    model, batch = gpt2().train(), texts()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config, drawn = model.config.to_dict(), torch.get_rng_state()
    phiscope.measure(model, batch)
    assert model.training
    assert model.config.to_dict() == config
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_labels_every_token_is_a_sample():
    batch = texts()
    del batch["labels"]
    measured = phiscope.measure(gpt2(), batch)
    assert measured.n_samples == int(batch["attention_mask"].sum())
    assert phiscope.measure(gpt2(), batch, padding=True).n_samples == batch["input_ids"].numel()


def test_the_word_is_cannot_be_told_and_what_to_read_instead():
    measured = phiscope.measure(gpt2(), texts())
    assert measured.regime is None
    sentence = measured.evidence.sentence()
    assert sentence.startswith("cannot be told: output rank r = 15 is more than half of p' = 16 (units that vary")
    assert "read D_LR" in sentence
    assert "random head" in sentence


def test_outputs_of_a_vocabulary_are_refused_with_the_way_out():
    model, batch = gpt2(vocab_size=5_000), texts()
    with pytest.raises(InputError, match=r'C = 5000 columns, more than 4096.*0.186 GiB.*head="lm_head"'):
        phiscope.measure(model, batch, features="transformer.h.0", outputs="output")
    lens = phiscope.measure(model, batch, features="transformer.h.0", head="lm_head")
    assert lens.n_outputs == 5_000
    # Tied weights say the same by the embedding's name.
    tied = phiscope.measure(model, batch, features="transformer.h.0", head="transformer.wte")
    assert tied["dynamical_low_rank"] == pytest.approx(lens["dynamical_low_rank"], rel=1e-9)


def test_restrict_takes_the_labels_that_were_measured():
    model, batch = gpt2(), texts()
    measured = phiscope.measure(model, batch, next_token=False)
    restricted = phiscope.restrict(measured, batch, model, next_token=False)
    assert restricted.n_samples == measured.n_samples
    # The same positions of other labels: another loss.
    default = phiscope.restrict(phiscope.measure(model, batch), batch, model)
    assert abs(default.loss[-1] - restricted.loss[-1]) > 1e-3


def test_several_texts_of_an_input_are_shifted_like_one():
    net = gpt2(transformers.GPT2DoubleHeadsModel, num_labels=1)
    one = gpt2()
    one.load_state_dict({name: value for name, value in net.state_dict().items() if "multiple" not in name})
    ids = torch.randint(3, WORDS, (20, 2, 8), generator=torch.Generator().manual_seed(0))
    flat = ids.reshape(40, 8)
    wanted = phiscope.measure(one, [{"input_ids": flat, "labels": flat}])
    for given in ({}, {"next_token": True}):
        found = phiscope.measure(net, [{"input_ids": ids, "labels": ids}], **given)
        assert "next token" in found.provenance["targets"]
        assert found["readout_r2"] == pytest.approx(wanted["readout_r2"], rel=1e-6)


SEQUENCE = BART | {"decoder_start_token_id": 3, "max_position_embeddings": 32}
OWN_SHIFT = {
    "Blenderbot": lambda: transformers.BlenderbotForConditionalGeneration(transformers.BlenderbotConfig(**SEQUENCE)),
    "M2M100": lambda: transformers.M2M100ForConditionalGeneration(transformers.M2M100Config(**SEQUENCE)),
    "Whisper": lambda: transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(**SEQUENCE, num_mel_bins=8, max_source_positions=20, max_target_positions=16)
    ),
}


@pytest.mark.parametrize("name", OWN_SHIFT)
def test_decoders_that_shift_labels_in_their_forward_get_them_shifted(name):
    torch.manual_seed(1)
    net = OWN_SHIFT[name]().eval()
    labels = torch.randint(4, WORDS, (20, 7))
    labels[:, 5:] = -100
    given = {"input_features": torch.randn(20, 8, 40)} if name == "Whisper" else {"input_ids": labels.clamp(min=4)}
    head = net.get_output_embeddings()
    taken = []
    hook = head.register_forward_pre_hook(lambda layer, args: taken.append(args[0]))
    with torch.no_grad():
        net(**given, labels=labels)
    hook.remove()
    measured = phiscope.measure(net, [{**given, "labels": labels}])
    assert measured.n_samples == 100
    assert measured.feature_mean == pytest.approx(taken[0][:, :5].reshape(-1, 16).mean(0).numpy(), abs=1e-5)


def sound():
    torch.manual_seed(1)
    sizes = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 3), "num_feat_extract_layers": 2}
    return transformers.Wav2Vec2ForCTC(
        transformers.Wav2Vec2Config(**SMALL, **FFN, **sizes, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
    ).eval()


def test_a_mask_of_sound_is_read_at_the_steps_that_the_model_answers_at():
    net, mask = sound(), torch.ones(12, 800, dtype=torch.long)
    for place in range(12):
        mask[place, 300 + 20 * place :] = 0
    batch = {"input_values": torch.randn(12, 800), "attention_mask": mask}
    wanted = int(net._get_feature_vector_attention_mask(40, mask).sum())
    measured = phiscope.measure(net, [batch])
    assert measured.n_samples == wanted < 12 * 40
    assert all(one.n_samples == wanted for one in phiscope.measure_layers(net, [batch]).values())
    assert phiscope.measure(net, [batch], padding=True).n_samples == 12 * 40


class Coarse(nn.Module):
    """Answers at every second position."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Conv1d(4, 6, 2, stride=2), nn.Linear(6, 3)

    def forward(self, x, attention_mask=None):
        return self.head(self.body(x.movedim(-1, 1)).movedim(1, -1).tanh())


def test_a_mask_that_fits_no_answers_is_a_warning_and_no_silence():
    mask = torch.ones(30, 8, dtype=torch.long)
    batch = {"x": torch.randn(30, 8, 4), "attention_mask": mask}
    assert not [one for one in phiscope.measure(Coarse(), [batch]).warnings if "mask" in one]
    mask[:, 5:] = 0
    for measured in (phiscope.measure(Coarse(), [batch]), phiscope.measure_layers(Coarse(), [batch])["head"]):
        assert [one for one in measured.warnings if "does not have the positions" in one]
    assert not [one for one in phiscope.measure(Coarse(), [batch], padding=True).warnings if "mask" in one]


def test_a_model_whose_loss_was_asked_is_not_doubted():
    config = transformers.BertConfig(**SMALL, **FFN)
    ids = torch.randint(3, WORDS, (20, 8))
    measured = phiscope.measure(transformers.BertForMaskedLM(config), [{"input_ids": ids, "labels": ids}])
    assert not [one for one in measured.warnings if "repeat the inputs" in one]
