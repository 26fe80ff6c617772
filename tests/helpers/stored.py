"""The same arrays in every kind of file."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

N, P, C = 530, 9, 3


def made():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, C, N)
    features = (rng.normal(size=(C, P))[labels] + rng.normal(size=(N, P)) + 20).astype(np.float32)
    return features, features @ rng.normal(size=(P, C)).astype(np.float32), labels, rng.uniform(0.5, 2, N)


def as_npy(folder, name, array):
    np.save(folder / f"{name}.npy", array)
    return f"{folder / name}.npy"


def as_fortran_npy(folder, name, array):
    return as_npy(folder, name, np.asfortranarray(array))


def as_shards(folder, name, array):
    (folder / name).mkdir()
    # 12 parts: by their letters, part 10 would come before part 2.
    for index, part in enumerate(np.array_split(array, 12)):
        np.save(folder / name / f"part-{index}.npy", part)
    return str(folder / name)


def as_pattern(folder, name, array):
    return f"{as_shards(folder, name, array)}/part-*.npy"


def as_zarr(folder, name, array):
    made = zarr.create_array(
        folder / f"{name}.zarr", shape=array.shape, chunks=(50, *array.shape[1:]), dtype=array.dtype
    )
    made[:] = array
    return f"{folder / name}.zarr"


def as_zarr_group(folder, name, array):
    group = zarr.open_group(folder / "all.zarr", mode="a")
    group.create_array(name, shape=array.shape, chunks=(70, *array.shape[1:]), dtype=array.dtype)[:] = array
    return str(folder / "all.zarr")


def as_lists(folder, name, array):
    """One Parquet file with a column of lists of fixed size, or of numbers."""
    column = array if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(array.ravel(), array.shape[1])
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({name: column, "id": np.arange(len(array)).astype(str)}), path, row_group_size=120)
    return str(path)


def as_open_lists(folder, name, array):
    """Lists without a fixed size, chosen by the name of their column."""
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"x": pa.array(array.tolist(), array_type(array)), "id": np.arange(len(array))}), path)
    return f"{path}:x"


def array_type(array):
    number = pa.from_numpy_dtype(array.dtype)
    return number if array.ndim == 1 else pa.list_(number)


def as_columns(folder, name, array):
    """One column of numbers for each feature."""
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({f"c{i}": column for i, column in enumerate(np.atleast_2d(array.T))}), path)
    return str(path)


def as_parquet_folder(folder, name, array):
    (folder / name).mkdir()
    for index, part in enumerate(np.array_split(array, 11)):
        table = pa.table({f"f{i}": column for i, column in enumerate(np.atleast_2d(part.T))})
        pq.write_table(table.append_column("id", pa.array(np.arange(len(part)))), folder / name / f"{index}.parquet")
    return f"{folder / name}:f*"


KINDS = [
    as_npy,
    as_fortran_npy,
    as_shards,
    as_pattern,
    as_zarr,
    as_zarr_group,
    as_lists,
    as_open_lists,
    as_columns,
    as_parquet_folder,
]
