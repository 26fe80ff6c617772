"""What users hand in: arrays, rows that stay on disk, files, batches; read, or refused in one sentence.

::

    arrays.py   NumPy arrays, torch tensors, anything with DLPack or ``__array__``; heads, targets, weights, counts
    batches.py  data in the shapes people have them, as a stream of batches
    columns.py  which columns of tables are features, outputs, targets: by their names
    files.py    .npy files, folders of them, Zarr and Parquet, by path
    groups.py   names of what was sampled together
    order.py    whether data come in an order that an array of targets can follow
    packed.py   scale, offset and fill value as NetCDF, HDF5 and Zarr keep them; missing rows
    parts.py    the parts of a raw batch as tensors: arrays, frames, nested lists, rows in Python form
    parquet.py  columns of Parquet files as rows
    prepared.py loaders that accelerate or Lightning have prepared, as the loaders they were made of
    progress.py a bar for people who watch; no line and no thread for those who do not
    repeats.py  whether batches come twice
    rows.py     arrays of rows that are read piece by piece and never loaded as a whole
    settings.py settings that many functions take by the same name
"""
