"""Train a small language model on Python's own help texts, and print depth against training.

python examples/language_model.py [FOLDER]      the run is written to FOLDER, else to runs/words
"""

import re
import sys
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import phiscope

LENGTH, WORDS, STEPS = 32, 1000, (0, 50, 100, 200)


def texts() -> tuple[torch.Tensor, list[str]]:
    """Pieces of 32 words as numbers, and the words; what is not among the 1,000 most frequent ones is number 0."""
    words = re.findall(r"\w+|[^\w\s]", " ".join(topics.values()).lower())
    vocabulary = ["<rare>", *(word for word, _ in Counter(words).most_common(WORDS - 1))]
    number = {word: place for place, word in enumerate(vocabulary)}
    ids = torch.tensor([number.get(word, 0) for word in words])
    return ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH), vocabulary


def main(folder: str = "runs/words") -> None:
    """Train, observe, report."""
    torch.manual_seed(0)
    pieces, vocabulary = texts()
    ids = pieces[torch.randperm(len(pieces))]
    labels = torch.where(ids == 0, -100, ids)  # a rare word is read, but nobody learns to predict it
    probe = {"input_ids": ids[:100], "labels": labels[:100]}
    size = {"n_embd": 64, "n_layer": 4, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=WORDS, n_positions=LENGTH, **size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    text = {"header": {"class_names": vocabulary}, "decode": lambda ids: " ".join(vocabulary[one] for one in ids)}
    blocks = {}
    with phiscope.Observer(model, probe, run=folder, every=list(STEPS), **text) as observer:
        for step in range(max(STEPS) + 1):
            rows = torch.randint(100, len(ids), (32,))
            loss = model(input_ids=ids[rows], labels=labels[rows]).loss
            if step in STEPS:
                observer.record(epoch=step, train_loss=loss)
                blocks[step] = phiscope.measure_layers(model, probe, [f"transformer.h.{k}" for k in range(4)])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    print("share of the next word that a linear reader finds, held out")
    for name in blocks[0]:
        shares = (f"step {step}: {layers[name]['readout_r2_held_out']:.3f}" for step, layers in blocks.items())
        print(f"{name:<16}", "   ".join(shares))
    print("page:", phiscope.report([folder], Path(folder) / "report.html"))


if __name__ == "__main__":
    main(*sys.argv[1:])
