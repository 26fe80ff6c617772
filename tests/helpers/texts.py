"""A small text classifier of transformers, its data, and a Trainer that prints nothing."""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

SIZES = {
    "vocab_size": 64,
    "hidden_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 2,
    "attention_probs_dropout_prob": 0.1,
}


def model():
    torch.manual_seed(1)
    return BertForSequenceClassification(BertConfig(**SIZES))


def rows(n, seed):
    """Sequences of different lengths; the collator has to pad them."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(n):
        length = int(torch.randint(4, 12, (1,), generator=generator))
        ids = torch.randint(5, 60, (length,), generator=generator)
        made.append({"input_ids": ids.tolist(), "labels": int(ids[0] > 30)})
    return made


def padded(examples):
    """Collate rows: padding is masked."""
    longest = max(len(row["input_ids"]) for row in examples)
    ids = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in examples]
    mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in examples]
    labels = [row["labels"] for row in examples]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": torch.tensor(labels)}


TRAINING, EVALUATION = rows(96, 0), rows(50, 1)


def arguments(folder, **settings):
    usual = {
        "output_dir": str(folder / "out"),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 16,
        "report_to": [],
        "logging_strategy": "epoch",
        "eval_strategy": "epoch",
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(**{**usual, **settings})


def trainer(folder, *callbacks, network=None, evaluation=EVALUATION, kind=Trainer, **settings):
    return kind(
        model=network or model(),
        args=arguments(folder, **settings),
        train_dataset=TRAINING,
        eval_dataset=evaluation,
        data_collator=padded,
        callbacks=list(callbacks),
    )
