"""A run on disk: header, records, how it ended.

::

    layout.py   where the files lie, and how text gets in and out of them without loss
    writing.py  the header once, then one record after the other
    reading.py  everything light at once, each measurement when it is asked for
    dataset.py  a run as one labelled xarray data set

The folder, format 1::

    RUN/header.json                        what was trained, on what, by which versions; written once
    RUN/scalars.jsonl                      one line a record: epoch, step, scalars, all numbers of all splits
    RUN/records/000003.train.safetensors   the whole measurement of one split at one record
    RUN/records/000003.train.extras.safetensors   arrays the observer keeps beside it
    RUN/gallery.train.safetensors          the samples that eigenfunctions are shown on
    RUN/end.json                           status and results; absent while running or after a kill

A record's line is appended only after its files lie safely on disk, so a run killed at any moment opens
with every completed record. No file contains a pickle.
"""

from __future__ import annotations

from phiscope.runs.layout import FORMAT_VERSION
from phiscope.runs.reading import Gallery, Record, Run, open_run
from phiscope.runs.writing import RunWriter

__all__ = ["FORMAT_VERSION", "Gallery", "Record", "Run", "RunWriter", "open_run"]
