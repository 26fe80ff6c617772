"""Columns of Parquet files as rows, or one sentence that says why not."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phiscope.cli.main import run_command
from phiscope.errors import UnknownNameError
from phiscope.inputs.files import open_rows
from stored import N, as_columns, as_lists, made


def _unusable(folder):
    """Paths by a word, each of which has to be refused."""
    x = made()[0]
    table = {"a": x[:, 0], "b": x[:, 1], "label": made()[2], "word": [str(i) for i in range(N)]}
    pq.write_table(pa.table(table), folder / "mixed.parquet")
    pq.write_table(pa.table({"features": pa.array([[1.0, 2.0], [3.0], [4.0, 5.0]])}), folder / "ragged.parquet")
    pq.write_table(pa.table({"features": pa.array([[1.0, 2.0], None])}), folder / "null.parquet")
    pq.write_table(pa.table({"a": [1.0, None], "b": [1.0, 2.0]}), folder / "hole.parquet")
    torn = Path(as_columns(folder, "torn", x)).read_bytes()
    (folder / "torn.parquet").write_bytes(torn[: len(torn) // 2])
    return folder


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("mixed.parquet", "not clear; say it as"),
        ("mixed.parquet:word", "type string"),
        ("mixed.parquet:labels", "did you mean label?"),
        ("mixed.parquet:a,c*", "no column of"),
        ("ragged.parquet", "row 1 of"),
        ("null.parquet", "missing values"),
        ("hole.parquet", "missing values"),
        ("torn.parquet", "cannot be read as Parquet"),
    ],
)
def test_unusable_columns_are_refused_in_one_sentence(tmp_path, capsys, path, sentence):
    folder = _unusable(tmp_path)
    assert run_command(["measure", "--features", f"{folder}/{path}"]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert run_command(["measure", "--features", f"{folder}/mixed.parquet:a,b", "--quiet"]) == 0  # the control


def test_an_unknown_column_knows_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError) as caught:
        open_rows(as_lists(tmp_path, "features", made()[0]) + ":feature", name="features")
    assert caught.value.nearest == ("features",)
