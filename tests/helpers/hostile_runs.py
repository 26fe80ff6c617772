"""Run folders that somebody damaged, or made up to do harm: each case changes a good one."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from phiscope.archive import read_arrays
from synthetic_runs import Recipe, write_run

Case = Callable[[Path], None]


class Raw(str):
    """JSON text that no JSON writer would write."""


VALUES: dict[str, Any] = {
    "a number": 5,
    "true": True,
    "null": None,
    "a fraction": 1.5,
    "negative": -1,
    "text": "text",
    "no text": "",
    "half a character": Raw('"\\ud800"'),
    "a long text": "x" * 5000,
    "markup": "</script><b>&\0",
    "an empty list": [],
    "an empty mapping": {},
    "nested lists": [[1, [2]]],
    "nested mappings": {"a": {"b": {"c": 1}}},
    "a mapping of text": {"a": "b"},
    "infinite": Raw("1e999"),
    "not a number": Raw("NaN"),
    "beyond floats": Raw("1" + "0" * 400),
    "beyond integers": Raw("1" * 5000),
    "deep": Raw("[" * 100_000 + "]" * 100_000),
}
"""What may stand where something else is expected."""


def _names(text: str) -> list[str]:
    return text.split()


HEADER_KEYS = _names(
    "format_version id name title description task data model settings initial_parameters splits "
    "input_shape image class_names head created platform seed command passive phiscope_version"
)
LINE_KEYS = _names("index epoch step seconds scalars numbers regimes extras branch lineage absorbs early note")
END_KEYS = _names("status reason ended seconds results")
FACT_KEYS = _names(
    "kind format n_samples n_features n_outputs n_classes rank_tolerance effective_samples warnings "
    "numbers absent provenance estimates evidence"
)
EVIDENCE_KEYS = _names(
    "regime output_rank k90 effective_dimension_centered initial_kernel_similarity of_a_later_phiscope"
)
SPECIAL_FILES = (
    "pipe",
    "folder",
    "nothing",
    "empty",
    "link to itself",
    "link to /dev/zero",
    "sparse",
    "zeros",
    "halved",
)


def cases(good: Path) -> Iterator[tuple[str, Case]]:
    """Every case by a name that says what it does.

    Args:
        good: the run that the cases are copies of.
    """
    yield from _json_cases("header.json", HEADER_KEYS)
    yield from _json_cases("end.json", END_KEYS)
    yield from _line_cases()
    yield from _number_cases()
    yield from _text_cases()
    measurement = "records/000002.train.safetensors"
    files = ("header.json", "scalars.jsonl", "end.json", measurement, "gallery.train.safetensors", "writer.lock")
    for name in (*files, "records/000002.train.extras.safetensors", "records", "initial.safetensors"):
        for kind in SPECIAL_FILES:
            yield f"{name} is {kind}", _special(name, kind)
    yield from _array_cases(good, measurement)
    yield from _array_cases(good, "records/000002.train.extras.safetensors")
    yield from _array_cases(good, "gallery.train.safetensors")
    yield from _fact_cases(measurement)
    yield from _packing_cases(measurement)
    yield from _gallery_cases()
    yield from _line_file_cases()


def good_run(folder: Path) -> Path:
    """A small run with everything in it."""
    write_run(folder, Recipe(epochs=(0, 1, 2), p=10, n=60, classes=3, side=3, splits=("train", "test")))
    np_save(folder / "initial.safetensors", {"weight": np.ones((2, 2))}, {})
    return folder


def np_save(path: Path, arrays: dict[str, Any], metadata: dict[str, str]) -> None:
    """Write a safetensors file."""
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=metadata))


def _text(value: Any) -> str:
    """JSON of a value that may hold raw text inside mappings and lists."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_text(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return json.dumps(value)


def _json_cases(name: str, keys: list[str]) -> Iterator[tuple[str, Case]]:
    for key in keys:
        for words, value in VALUES.items():

            def change(folder: Path, key: str = key, value: Any = value) -> None:
                facts = json.loads((folder / name).read_text())
                (folder / name).write_text(_text({**facts, key: value}))

            yield f"{name}: {key} is {words}", change


def _change_line(folder: Path, number: int, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "scalars.jsonl"
    lines = path.read_text().splitlines()
    lines[number] = _text(change(json.loads(lines[number])))
    path.write_text("\n".join(lines) + "\n")


def _line_cases() -> Iterator[tuple[str, Case]]:
    for key in LINE_KEYS:
        for words, value in VALUES.items():

            def change(folder: Path, key: str = key, value: Any = value) -> None:
                _change_line(folder, 1, lambda line: {**line, key: value})

            yield f"line: {key} is {words}", change

        def without(folder: Path, key: str = key) -> None:
            _change_line(folder, 1, lambda line: {k: v for k, v in line.items() if k != key})

        yield f"line: no {key}", without


def _number_cases() -> Iterator[tuple[str, Case]]:
    for words, value in VALUES.items():
        inside: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "a scalar": lambda line, value=value: {**line, "scalars": {"train_loss": value}},
            "a number": lambda line, value=value: {**line, "numbers": {"train": {"nc1": value}}},
            "a split's numbers": lambda line, value=value: {**line, "numbers": {"train": value}},
            "a regime": lambda line, value=value: {**line, "regimes": {"train": value}},
            "an extra": lambda line, value=value: {**line, "extras": [value]},
            "a pair of the lineage": lambda line, value=value: {**line, "branch": 1, "lineage": [[0, value]]},
        }
        for place, change in inside.items():
            yield f"line: {place} is {words}", lambda folder, change=change: _change_line(folder, 1, change)
    for split in ("../../etc", "/etc/passwd", "a\0b", "", ".", "x" * 5000, "%2E%2E", "\u202e", "<b>"):

        def renamed(folder: Path, split: str = split) -> None:
            _change_line(folder, 1, lambda line: {**line, "numbers": {split: {"nc1": 1.0}}})

        yield f"line: a split called {split[:12]!r}", renamed
    for value in (1e308, -1e308, 5e-324, 0.0, -0.0):

        def extreme(folder: Path, value: float = value) -> None:
            change = {"scalars": {"train_loss": value}, "numbers": {"train": {"nc1": value, "alpha_req": value}}}
            _change_line(folder, 1, lambda line: {**line, **change, "epoch": value, "seconds": value})

        yield f"line: everything is {value}", extreme


def _text_cases() -> Iterator[tuple[str, Case]]:
    texts = {
        "nothing": b"",
        "half an object": b"{",
        "a list": b"[]",
        "null": b"null",
        "a number": b"7",
        "deep lists": b"[" * 200_000,
        "deep objects": b'{"a":' * 100_000,
        "zeros": bytes(5000),
        "no UTF-8": b"\xff\xfe{}",
        "UTF-16": '{"format_version": 1}'.encode("utf-16"),
        "a byte order mark": b'\xef\xbb\xbf{"format_version": 1}',
        "two objects": b"{}{}",
        "the same key twice": b'{"format_version": 1, "format_version": 99}',
        "a comment": b"// {}",
        "10 MB of letters": b"a" * 10_000_000,
    }
    for name in ("header.json", "end.json", "scalars.jsonl"):
        for words, content in texts.items():
            yield f"{name} holds {words}", lambda folder, name=name, content=content: _write(folder / name, content)
    for words, content in texts.items():

        def between(folder: Path, content: bytes = content) -> None:
            lines = (folder / "scalars.jsonl").read_bytes().splitlines(keepends=True)
            _write(folder / "scalars.jsonl", lines[0] + content.replace(b"\n", b" ") + b"\n" + b"".join(lines[1:]))

        yield f"a line holds {words}", between


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _special(name: str, kind: str) -> Case:
    def change(folder: Path) -> None:
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
            (path / "inside").write_text("x")
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "link to itself":
            path.symlink_to(path.name)
        elif kind == "link to /dev/zero":
            path.symlink_to("/dev/zero")
        elif kind == "sparse":
            path.write_bytes(content[:8])
            os.truncate(path, 2**36)
        elif kind == "zeros":
            path.write_bytes(bytes(len(content)))
        elif kind == "halved":
            path.write_bytes(content[: len(content) // 2])

    return change


def _resaved(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    arrays, facts = read_arrays(path)
    change(arrays, facts)
    np_save(path, arrays, {"phiscope": _text(facts)})


def _array_cases(good: Path, name: str) -> Iterator[tuple[str, Case]]:
    changes: dict[str, Callable[[Any], Any]] = {
        "missing": lambda array: None,
        "float32": lambda array: array.astype(np.float32),
        "whole numbers": lambda array: np.zeros(array.shape, np.int64),
        "bits": lambda array: np.zeros(array.shape, np.bool_),
        "turned": lambda array: array.T.copy() if array.ndim > 1 else array[:, None].copy(),
        "flat": lambda array: array.reshape(-1),
        "one number": lambda array: np.float64(1.0),
        "empty": lambda array: array[:0],
        "longer": lambda array: np.concatenate([array, array]),
        "deeper": lambda array: array[None, None, None],
        "NaN": lambda array: np.full(array.shape, np.nan),
        "infinite": lambda array: np.full(array.shape, np.inf),
        "zero": lambda array: np.zeros(array.shape),
        "negative": lambda array: -np.abs(array) - 1.0,
        "huge": lambda array: np.full(array.shape, 1e308),
    }
    for key in sorted(read_arrays(good / name)[0]):
        for words, change in changes.items():

            def altered(folder: Path, key: str = key, change: Callable[[Any], Any] = change) -> None:
                def one(arrays: dict[str, Any], facts: dict[str, Any]) -> None:
                    value = change(arrays.pop(key))
                    arrays |= {} if value is None else {key: value}

                _resaved(folder / name, one)

            yield f"{name}: {key} is {words}", altered


def _fact_cases(name: str) -> Iterator[tuple[str, Case]]:
    def fact(path: tuple[str, ...], value: Any) -> Case:
        def one(arrays: dict[str, Any], facts: dict[str, Any]) -> None:
            place = facts
            for key in path[:-1]:
                place = place[key]
            if value is _MISSING:
                place.pop(path[-1], None)
            else:
                place[path[-1]] = value

        return lambda folder: _resaved(folder / name, one)

    paths = [(key,) for key in FACT_KEYS] + [("evidence", key) for key in EVIDENCE_KEYS]
    paths += [("estimates", "dynamical_low_rank"), ("estimates", "dynamical_low_rank", "value")]
    paths += [
        ("estimates", "dynamical_low_rank", "freedom"),
        ("estimates", "dynamical_low_rank", "later"),
    ]
    paths += [("numbers", "dynamical_low_rank"), ("absent", "nrc1"), ("provenance", "split")]
    for path in paths:
        for words, value in {**VALUES, "missing": _MISSING, "a list of one": [1]}.items():
            yield f"{name}: {'.'.join(path)} is {words}", fact(path, value)


_MISSING = object()


def _packing_cases(name: str) -> Iterator[tuple[str, Case]]:
    def packed(header: bytes, size: int | None = None, body: bytes = b"") -> Case:
        length = len(header) if size is None else size
        return lambda folder: _write(folder / name, struct.pack("<Q", length & (2**64 - 1)) + header + body)

    entry = '{"__metadata__": {"phiscope": "{}"}, "a": {"dtype": "%s", "shape": %s, "data_offsets": %s}}'
    entries = {
        "BF16": ("BF16", "[2]", "[0, 4]"),
        "F8": ("F8_E4M3", "[4]", "[0, 4]"),
        "an unknown dtype": ("Q7", "[4]", "[0, 4]"),
        "offsets of 2^60": ("F32", "[1]", "[0, 1152921504606846976]"),
        "a shape of 2^60": ("F32", "[1152921504606846976]", "[0, 4]"),
        "a shape of 0 and 2^60": ("F32", "[0, 1152921504606846976]", "[0, 0]"),
        "a negative shape": ("F32", "[-1]", "[0, 4]"),
        "offsets backwards": ("F32", "[1]", "[4, 0]"),
        "a shape of text": ("F32", '["1"]', "[0, 4]"),
    }
    for words, (dtype, shape, offsets) in entries.items():
        yield f"{name}: {words}", packed((entry % (dtype, shape, offsets)).encode(), body=bytes(4))
    for words, metadata in {"no facts": "{}", "facts of another kind": "[]", "deep facts": "[" * 50_000}.items():
        header = json.dumps({"__metadata__": {"phiscope": metadata}}).encode()
        yield f"{name}: {words}", packed(header)
    for words, size in {"none": 0, "2^63": 2**63, "-1": -1, "100 MB": 10**8}.items():
        yield f"{name}: a header size of {words}", packed(b"{}", size)


def _gallery_cases() -> Iterator[tuple[str, Case]]:
    shapes = [
        (),
        (0,),
        (2,),
        (2, 0),
        (2, 1, 3000),
        (2, 3000, 1),
        (2, 1, 1, 3000),
        (2, 3, 4, 5),
        (2, 2, 2, 2, 2),
        (1, 1, 1),
    ]
    shapes += [(400, 1, 1), (2, 500, 500), (2, 60_000)]
    for shape in shapes:

        def inputs(folder: Path, shape: tuple[int, ...] = shape) -> None:
            np_save(folder / "gallery.train.safetensors", {"inputs": np.ones(shape, np.float32)}, {"phiscope": "{}"})

        yield f"gallery: inputs of shape {shape}", inputs
    for words, targets in {
        "beyond all classes": np.full(40, 10**9),
        "below all classes": np.full(40, -(2**63)),
        "not finite": np.full(40, np.nan),
        "wide": np.ones((40, 300)),
    }.items():

        def aimed(folder: Path, targets: Any = targets) -> None:
            arrays = {"inputs": np.ones((40, 3, 3)), "targets": targets}
            np_save(folder / "gallery.train.safetensors", arrays, {"phiscope": "{}"})

        yield f"gallery: targets {words}", aimed


def _line_file_cases() -> Iterator[tuple[str, Case]]:
    line = {"index": 0, "epoch": 0.0, "step": None, "seconds": 0.0, "scalars": {}, "numbers": {}}

    def lines(*rows: Any) -> Case:
        return lambda folder: _write(folder / "scalars.jsonl", "".join(_text(row) + "\n" for row in rows).encode())

    yield "the same record twice", lines(line, line)
    yield "records backwards", lines({**line, "index": 2, "epoch": 9.0}, {**line, "index": 1, "epoch": 3.0})
    yield "a record that absorbs itself", lines({**line, "absorbs": [0]})
    yield "a branch of itself", lines(line, {**line, "index": 1, "branch": 1, "lineage": [[1, 0], [0, 5]]})
    yield "a note to nothing", lines(line, {"note": 7, "scalars": {"a": 1.0}})
    yield "a note to a note", lines(line, {"note": 0, "scalars": {"note": 1.0}}, {"note": {"note": 0}, "scalars": {}})
    yield "notes alone", lines({"note": 0, "scalars": {}})
    yield "20,000 scalars", lines({**line, "scalars": {f"s{i}": 1.0 for i in range(20_000)}})
    yield "measured and not there", lines({**line, "numbers": {"gone": {"nc1": 1.0}}})
    yield "no last line end", lambda folder: _write(folder / "scalars.jsonl", _text(line).encode())

    def victim(name: str) -> Case:
        def change(folder: Path) -> None:
            outside = folder.parent / f"{folder.name}-victim"
            (folder / name).rename(outside)
            (folder / name).symlink_to(outside)

        return change

    for name in ("scalars.jsonl", "records", "header.json", "end.json", "initial.safetensors", "writer.lock"):
        yield f"{name} is a link to another place", victim(name)


def slow_cases() -> Iterator[tuple[str, Case]]:
    """Cases that take seconds by their size."""
    line = '{"index": %d, "epoch": %d.0, "step": null, "seconds": 0.0, "scalars": {"train_loss": 1.0}, "numbers": {}}\n'

    def long(folder: Path) -> None:
        _write(folder / "scalars.jsonl", "".join(line % (i, i) for i in range(100_000)).encode())

    def branches(folder: Path) -> None:
        rows = (
            {"index": i, "epoch": float(i), "step": None, "seconds": 0.0, "scalars": {}, "numbers": {}}
            for i in range(20_000)
        )
        text = "".join(json.dumps({**row, "branch": row["index"], "lineage": []}) + "\n" for row in rows)
        _write(folder / "scalars.jsonl", text.encode())

    def splits(folder: Path) -> None:
        facts = json.loads((folder / "header.json").read_text())
        (folder / "header.json").write_text(json.dumps({**facts, "splits": [f"s{i}" for i in range(100_000)]}))

    def no_end(folder: Path) -> None:
        _write(folder / "scalars.jsonl", b"x" * 200_000_000)

    yield "100,000 lines", long
    yield "20,000 branches", branches
    yield "100,000 splits", splits
    yield "200 MB without a line end", no_end
