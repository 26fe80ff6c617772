"""Text for the gallery and names for classes: of tokenizers, functions and mappings, hostile ones too."""

import warnings

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import phiscope
from phiscope.archive import read_arrays, write_arrays
from phiscope.errors import InputError, RunFormatError
from phiscope.observe.decoding import BEFORE, Decoder, class_names_of, window_of
from phiscope.runs.layout import gallery_file

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


class Tokens:
    """A tokenizer: it can be called, too, but that makes ids of text."""

    def __call__(self, text):
        raise AssertionError("nobody wants ids of text")

    def decode(self, ids):
        return "".join(f"<{one}>" for one in ids)


def gpt2(words=30):
    torch.manual_seed(0)
    settings = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "bos_token_id": 1, "eos_token_id": 2}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=words, **settings))


def texts(n=40, length=9):
    ids = torch.randint(3, 30, (n, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1::2, 6:] = 0
    ids = torch.where(mask == 0, 0, ids)
    labels = torch.where(mask == 0, -100, ids)
    labels[:, :2] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def test_tokens_stand_in_their_text_with_what_they_predict(tmp_path):
    net, batch = gpt2(), texts()
    with phiscope.Observer(net, batch, run=tmp_path / "run", decode=Tokens(), gallery=30) as observer:
        measured = observer.record(epoch=0)
        observer.record(epoch=1)
    run = phiscope.open_run(tmp_path / "run")
    gallery = run.gallery("probe")
    assert len(gallery.words) == len(gallery.inputs) == len(gallery.targets) == 30
    # A naive twin finds each token again by what stands around it.
    with torch.no_grad():
        hidden = net.eval().transformer(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    for place in (0, 7, 29):
        before, token, after = gallery.words[place]
        text = "".join(gallery.words[place])
        rows = [
            (row, at)
            for row in range(40)
            for at in range(9)
            if "".join(f"<{one}>" for one in batch["input_ids"][row][batch["attention_mask"][row] == 1].tolist())
            == text
            and before.count("<") == at
        ]
        (row, at), *_ = rows
        assert token == f"<{int(batch['input_ids'][row, at])}>"
        assert gallery.targets[place] == batch["labels"][row, at + 1]
        stored = run.records[0].extras("probe")["gallery_centered"][place]
        expected = measured.eigenfunctions(hidden[row, at][None].numpy(), centered=True)[0, : len(stored)]
        np.testing.assert_allclose(stored, expected, rtol=1e-3, atol=1e-3)
        assert "<0>" not in after
    assert len({tuple(window) for window in gallery.inputs}) == 30


def test_a_resumed_observer_shows_the_same_tokens(tmp_path):
    net, batch = gpt2(), texts()
    with phiscope.Observer(net, batch, run=tmp_path / "run", decode=Tokens(), gallery=12) as observer:
        observer.record(epoch=0)
    with phiscope.Observer(net, batch, run=tmp_path / "run", decode=Tokens(), gallery=12, resume=True) as observer:
        observer.record(epoch=1)
    assert "gallery_raw" in phiscope.open_run(tmp_path / "run").records[1].extras("probe")


class Pooled(nn.Module):
    """One answer for a text."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 5), nn.Linear(5, 2)

    def forward(self, input_ids):
        return self.head(self.embed(input_ids).mean(1))


def test_a_text_with_one_answer_is_shown_as_a_whole(tmp_path):
    ids = torch.randint(9, (20, 4), generator=torch.Generator().manual_seed(0))
    data = (ids, torch.arange(20) % 2)
    with phiscope.Observer(Pooled(), data, run=tmp_path / "run", decode=Tokens(), gallery=5) as observer:
        observer.record(epoch=0)
    words = phiscope.open_run(tmp_path / "run").gallery("probe").words
    assert words == tuple(("", Tokens().decode(row.tolist()), "") for row in ids[:5])


def test_replay_decodes_as_the_observer_does(tmp_path):
    net, batch = gpt2(), texts()
    torch.save(net.state_dict(), tmp_path / "1.pt")
    run = phiscope.replay(net, [tmp_path / "1.pt"], batch, tmp_path / "run", decode=Tokens(), gallery=6)
    assert len(run.gallery("probe").words) == 6


def test_hostile_text_is_text_on_the_page(tmp_path):
    lone = "\ud800"

    def decode(ids):
        return EVIL + lone + "\x00" + str(ids)

    names = dict.fromkeys(range(30), EVIL)
    with phiscope.Observer(
        gpt2(), texts(), run=tmp_path / "run", decode=decode, gallery=4, header={"class_names": names}
    ) as observer:
        observer.record(epoch=0)
    page = phiscope.report([tmp_path / "run"], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "alert(1)" in page


def test_what_cannot_be_decoded_is_said(tmp_path):
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(x)

    data = (torch.randn(6, 5, 4), torch.arange(30).reshape(6, 5) % 3)
    with pytest.warns(UserWarning, match="samples of 'probe' cannot be decoded: no input is an array of token ids"):
        phiscope.Observer(Tagger(), data, run=tmp_path / "run", decode=Tokens()).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        phiscope.Observer(Tagger(), data, run=tmp_path / "other").close()


@pytest.mark.parametrize(
    ("decode", "match"),
    [
        ("utf-8", "decode is a str; expected a tokenizer"),
        (7, "decode is an int"),
        (lambda ids: None, "decode returned a NoneType for"),
        (lambda ids: {}[3], "decode failed on .*KeyError"),
    ],
)
def test_decoders_that_are_none(decode, match, tmp_path):
    with pytest.raises(InputError, match=match):
        phiscope.Observer(gpt2(), texts(), run=tmp_path / "run", decode=decode)


def test_words_of_another_form_are_refused(tmp_path):
    with phiscope.Observer(gpt2(), texts(), run=tmp_path / "run", decode=Tokens(), gallery=4) as observer:
        observer.record(epoch=0)
    path = gallery_file(tmp_path / "run", "probe")
    arrays, facts = read_arrays(path)
    for words in ([["a", "b"]] * 4, [["a", "b", 3]] * 4, [["a", "b", "c"]] * 3, "text", {"a": 1}):
        write_arrays(path, arrays, {**facts, "words": words})
        with pytest.raises(RunFormatError, match="words that are no text before"):
            phiscope.open_run(tmp_path / "run").gallery("probe")


def test_windows_end_where_the_text_does():
    ids, real = np.arange(50), np.ones(50, dtype=bool)
    assert window_of(ids, real, 25).tolist() == list(range(1, 38))
    assert window_of(ids, real, 0)[BEFORE:].tolist() == list(range(13))
    assert set(window_of(ids, real, 0)[:BEFORE].tolist()) == {-1}
    real[:20] = False
    assert window_of(ids, real, 22)[:BEFORE].tolist() == [-1] * 22 + [20, 21]


def test_a_token_without_text_is_its_number():
    assert Decoder(lambda ids: "").token(np.array([4, 7, 2]), 1) == ("", "[7]", "")


@pytest.mark.parametrize(
    ("names", "count", "expected"),
    [
        (None, 3, None),
        (["a", 2], 9, ["a", "2"]),
        ({0: "zero", "2": "two"}, None, ["zero", "class 1", "two"]),
        ({0: "zero", 9: "beyond"}, 2, ["zero", "class 1"]),
        (Tokens(), 2, ["<0>", "<1>"]),
        (lambda c: None if c else " the", 2, [" the", "class 1"]),
    ],
)
def test_class_names_of_every_kind(names, count, expected):
    assert class_names_of(names, count) == expected


@pytest.mark.parametrize(
    ("names", "count", "match"),
    [
        ("abc", 3, "class_names is a str"),
        (7, 3, "class_names is an int"),
        ({"a", "b"}, 2, "a set, which has no order"),
        ({"x": "y"}, 2, "keys are no classes"),
        (lambda c: "x", None, "how many classes there are is not known"),
        (lambda c: {}[c], 2, "decode failed on 0"),
    ],
)
def test_class_names_that_are_none(names, count, match):
    with pytest.raises(InputError, match=match):
        class_names_of(names, count)


def test_names_of_a_vocabulary_go_into_the_run(tmp_path):
    with phiscope.Observer(
        gpt2(), texts(), run=tmp_path / "run", header={"class_names": Tokens()}, gallery=0
    ) as observer:
        observer.record(epoch=0)
    assert phiscope.open_run(tmp_path / "run").class_names[:2] == ("<0>", "<1>")
