"""Hugging Face's Trainer: observe a small text classifier that tells English prose from Python code.

python examples/transformers_callback.py [FOLDER]      needs the extras transformers and report
"""

import argparse
import sys
import textwrap
from pathlib import Path
from pydoc_data.topics import topics

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import phiscope
from phiscope.integrations import TransformersObserver

LENGTH = 64


def rows(text: str, label: int, n: int = 400) -> list[dict[str, torch.Tensor]]:
    """Pieces of a text as bytes; 0 would be padding, and the classifier reads the first place, which is 1."""
    pieces = textwrap.wrap(text, LENGTH - 1, drop_whitespace=False)[:n]
    data = [bytes([1]) + piece.encode("ascii", "replace").ljust(LENGTH - 1)[: LENGTH - 1] for piece in pieces]
    return [{"input_ids": torch.tensor(list(one)), "labels": torch.tensor(label)} for one in data]


def main(folder: str = "runs/prose-or-code") -> None:
    """Train, observe, report."""
    set_seed(0)
    code = Path(argparse.__file__).read_text(encoding="utf-8")
    data = [row for pair in zip(rows(" ".join(topics.values()), 0), rows(code, 1), strict=True) for row in pair]
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    model = BertForSequenceClassification(
        BertConfig(vocab_size=256, num_labels=2, max_position_embeddings=LENGTH, **sizes)
    )
    observer = TransformersObserver(run=folder, header={"class_names": ["prose", "code"]})
    settings = TrainingArguments(
        output_dir=f"{folder}-trainer",
        num_train_epochs=4,
        per_device_train_batch_size=32,
        learning_rate=1e-3,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(model=model, args=settings, train_dataset=data[:600], eval_dataset=data[600:], callbacks=[observer]).train()
    run = phiscope.open_run(observer.path)
    print(run.records[-1].measurement())
    print("page:", phiscope.report([run], Path(observer.path) / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
