"""Folders of Hugging Face datasets, written by the library itself and read back without a network."""

import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from phiscope.errors import InputError, MissingDependencyError, TargetError, UnknownNameError
from phiscope.studies.datasets.images import load_images

datasets = pytest.importorskip("datasets", reason="the extra hf is not installed")


def pictures(n, *, mode="L", size=(6, 5), seed=0):
    rng = np.random.default_rng(seed)
    width, height = size
    shape = (n, height, width) if mode == "L" else (n, height, width, 3)
    return [Image.fromarray(array) for array in rng.integers(0, 256, shape, dtype=np.uint8)]


def rows(n, *, seed=0, names=("cat", "dog", "owl"), **more):
    labels = [k % 3 for k in range(n)]
    kind = datasets.ClassLabel(names=list(names)) if names else datasets.Value("int64")
    features = datasets.Features({"picture": datasets.Image(), "animal": kind})
    return datasets.Dataset.from_dict({"picture": pictures(n, seed=seed, **more), "animal": labels}, features=features)


def saved(folder, **splits):
    datasets.DatasetDict(splits).save_to_disk(str(folder))
    return folder


def test_a_saved_set_is_what_was_written(tmp_path):
    images = load_images("hf", folder=saved(tmp_path / "set", train=rows(12), test=rows(6, seed=1)))
    assert (images.num_classes, images.class_names) == (3, ("cat", "dog", "owl"))
    assert images.input_shape == (1, 5, 6)
    written = np.stack([np.asarray(picture) for picture in pictures(12)]).astype(np.float64)
    expected = ((written - written.mean()) / written.std()).reshape(12, -1)
    ours = images.train_x.double().reshape(12, -1).numpy()
    at = [int(np.abs(expected - row).max(axis=1).argmin()) for row in ours]
    assert sorted(at) == list(range(12))
    np.testing.assert_allclose(ours, expected[at], atol=4e-7)
    assert images.train_y.tolist() == [k % 3 for k in at]
    assert "split 'train' and 'test' to test: 12 to train, 6 to test" in images.source


def test_parquet_files_give_what_the_saved_set_gives(tmp_path):
    train, test = rows(12), rows(6, seed=1)
    expected = load_images("hf", folder=saved(tmp_path / "set", train=train, test=test))
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for split, held in (("train", train), ("test", test)):
        for part in range(2):
            half = held.shard(2, part, contiguous=True)
            half.to_parquet(str(tmp_path / "hub" / "data" / f"{split}-{part:05d}-of-00002.parquet"))
    (tmp_path / "converted" / "train").mkdir(parents=True)
    (tmp_path / "converted" / "test").mkdir(parents=True)
    train.to_parquet(str(tmp_path / "converted" / "train" / "0000.parquet"))
    test.to_parquet(str(tmp_path / "converted" / "test" / "0000.parquet"))
    for folder in ("hub", "converted"):
        images = load_images("hf", folder=tmp_path / folder)
        assert torch.equal(images.train_x, expected.train_x)
        assert torch.equal(images.test_y, expected.test_y)
        assert images.class_names == expected.class_names


def test_color_is_kept_and_gray_becomes_color_beside_it(tmp_path):
    train = datasets.concatenate_datasets([rows(6, mode="RGB"), rows(3)])
    images = load_images("hf", folder=saved(tmp_path / "set", train=train, test=rows(3)))
    assert images.input_shape == (3, 5, 6)
    assert images.test_x.shape == (3, 3, 5, 6)


def test_without_a_test_split_pictures_are_held_out(tmp_path):
    rows(30).save_to_disk(str(tmp_path / "one"))
    with pytest.raises(InputError, match=r"no test split; say with n_test= how many"):
        load_images("hf", folder=tmp_path / "one")
    images = load_images("hf", folder=tmp_path / "one", n_test=9)
    assert (len(images.train_x), len(images.test_x)) == (21, 9)
    raw = {
        tuple(picture.flatten().round(decimals=4).tolist()) for picture in torch.cat([images.train_x, images.test_x])
    }
    assert len(raw) == 30
    assert torch.bincount(images.test_y).tolist() == [3, 3, 3]
    assert "and a part of it to test" in images.source


def test_validation_stands_in_for_test_and_a_named_split_comes_first(tmp_path):
    folder = saved(tmp_path / "set", train=rows(9), validation=rows(6, seed=1), extra=rows(3, seed=2))
    assert len(load_images("hf", folder=folder).test_x) == 6
    assert "'validation' to test" in load_images("hf", folder=folder).source
    assert len(load_images("hf", folder=folder, test="extra").test_x) == 3
    assert len(load_images("hf", folder=folder, train="extra").train_x) == 3
    with pytest.raises(UnknownNameError, match="no split named 'exta'; did you mean extra"):
        load_images("hf", folder=folder, test="exta")


def test_numbers_without_names_are_classes_in_their_order(tmp_path):
    features = datasets.Features({"picture": datasets.Image(), "digit": datasets.Value("int32")})
    held = datasets.Dataset.from_dict({"picture": pictures(8), "digit": [7, 3, 3, 9, 7, 3, 9, 7]}, features=features)
    images = load_images("hf", folder=saved(tmp_path / "set", train=held, test=held.select([0, 1])))
    assert images.class_names == ("3", "7", "9")
    assert sorted(images.train_y.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert sorted(images.test_y.tolist()) == [0, 1]
    strange = datasets.Dataset.from_dict({"picture": pictures(1), "digit": [4]}, features=features)
    with pytest.raises(TargetError, match=r"'test' has the labels 4: the training split does not have them"):
        load_images("hf", folder=saved(tmp_path / "strange", train=held, test=strange))


def test_a_test_split_without_labels_is_told(tmp_path):
    hidden = datasets.Dataset.from_dict({"picture": pictures(2), "animal": [-1, -1]}, features=rows(3).features)
    with pytest.raises(TargetError, match="labels -1: it comes without labels"):
        load_images("hf", folder=saved(tmp_path / "set", train=rows(3), test=hidden))
    holes = datasets.Dataset.from_dict({"picture": pictures(2), "animal": [0, None]}, features=rows(3).features)
    with pytest.raises(TargetError, match="a whole number in every row"):
        load_images("hf", folder=saved(tmp_path / "holes", train=holes, test=rows(3)))


def test_columns_are_chosen_or_named(tmp_path):
    train = rows(6).add_column("group", [0, 1, 0, 1, 0, 1]).add_column("note", list("abcdef"))
    folder = saved(tmp_path / "set", train=train, test=train)
    assert load_images("hf", folder=folder).num_classes == 3  # named classes win over whole numbers
    assert load_images("hf", folder=folder, label="group").num_classes == 2
    with pytest.raises(UnknownNameError, match="no column named 'anima'; did you mean animal"):
        load_images("hf", folder=folder, label="anima")
    with pytest.raises(TargetError, match=r"the column 'note' must hold a whole number"):
        load_images("hf", folder=folder, label="note")
    with pytest.raises(InputError, match="'note' does not hold images"):
        load_images("hf", folder=folder, image="note")
    plain = saved(tmp_path / "plain", train=train.remove_columns(["animal", "group"]))
    with pytest.raises(InputError, match="none could hold the labels; name the right one with label="):
        load_images("hf", folder=plain)


def test_pictures_of_several_sizes_need_a_size(tmp_path):
    both = datasets.concatenate_datasets([rows(3), rows(3, size=(9, 4))])
    folder = saved(tmp_path / "set", train=both, test=rows(3))
    with pytest.raises(InputError, match=r"of 2 sizes \(6 x 5, 9 x 4, ...\); give size="):
        load_images("hf", folder=folder)
    assert load_images("hf", folder=folder, size=8).input_shape == (1, 8, 8)
    with pytest.raises(InputError, match="size=0"):
        load_images("hf", folder=folder, size=0)
    with pytest.raises(InputError, match=r"size=2\.5"):
        load_images("hf", folder=folder, size=2.5)


def test_deep_pixels_are_refused(tmp_path):
    deep = datasets.Dataset.from_dict(
        {"picture": [Image.fromarray(np.full((5, 6), 3000, np.uint16))], "animal": [0]}, features=rows(3).features
    )
    with pytest.raises(InputError, match="8 bits a channel, got some of mode I;16"):
        load_images("hf", folder=saved(tmp_path / "set", train=deep, test=rows(3)))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"bytes": b"no picture", "path": None}, "row 1 of the column 'picture' is a picture that cannot be opened"),
        ({"bytes": None, "path": "/etc/hostname"}, "the name of a file, /etc/hostname, and not its bytes"),
        ({"bytes": None, "path": "https://example.org/cat.png"}, "holds the name of a file, https://example.org/cat"),
        (None, "row 1 of the column 'picture' holds no picture"),
    ],
)
def test_rows_without_a_picture_of_their_own(tmp_path, cell, message):
    good = io.BytesIO()
    pictures(1)[0].save(good, "PNG")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = pa.array([{"bytes": good.getvalue(), "path": None}, cell], kind)
    meta = '{"info": {"features": {"picture": {"_type": "Image"}, "animal": {"dtype": "int64", "_type": "Value"}}}}'
    table = pa.table({"picture": column, "animal": [0, 1]}).replace_schema_metadata({"huggingface": meta})
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(InputError, match=message):
        load_images("hf", folder=tmp_path, n_test=1)


def test_other_folders_are_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"is no folder of Hugging Face datasets: expected dataset_dict.json"):
        load_images("hf", folder=tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        load_images("hf", folder=tmp_path / "absent")
    (tmp_path / "train.parquet").write_bytes(b"PAR1 but cut")
    with pytest.raises(InputError, match="cannot be read as a folder of Hugging Face datasets"):
        load_images("hf", folder=tmp_path, n_test=1)


def test_damage_inside_a_parquet_file_is_told_with_its_reason(tmp_path):
    rows(12).to_parquet(str(tmp_path / "train.parquet"))
    stored = bytearray((tmp_path / "train.parquet").read_bytes())
    stored[500:900] = b"\xff" * 400
    (tmp_path / "train.parquet").write_bytes(stored)
    with pytest.raises(InputError, match=r"cannot be read as a folder of Hugging Face datasets: (?!An error occurred)"):
        load_images("hf", folder=tmp_path, n_test=1)


def test_a_saved_set_without_rows(tmp_path):
    try:
        folder = saved(tmp_path / "set", train=rows(0))
    except ZeroDivisionError:
        pytest.skip("this version of datasets saves no set without rows")
    with pytest.raises(InputError, match="holds no rows, expected pictures"):
        load_images("hf", folder=folder, n_test=1)


def test_nothing_is_left_in_the_library_s_cache(tmp_path, monkeypatch):
    rows(6).to_parquet(str(tmp_path / "train.parquet"))
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
    load_images("hf", folder=tmp_path, n_test=3)
    assert list(cache.iterdir()) == []


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDependencyError, match=r"needs the package 'datasets'.*phiscope\[hf\]"):
        load_images("hf", folder=tmp_path)
