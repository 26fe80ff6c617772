"""A run on disk: header, records, how it ended.

::

    layout.py   where the files lie, and how text gets in and out of them without loss
    opening.py  a folder before anything is recorded: begun, or taken up again
    writing.py  the header once, then one record after the other
    by_hand.py  a run from measurements that were made by hand
    reading.py  everything light at once, each measurement when it is asked for
    following.py  a run that is being written, read without reading it again
    glance.py   what a list of many runs shows of one, read in a millisecond
    lines.py    the file of lines: appended only behind what is known, read with what is damaged left out
    journal.py  records and notes as lines, and which records they make
    branches.py the line of training that a run is on, and those it left
    initial.py  the network at its start, kept in the run
    gallery.py  the samples that eigenfunctions are shown on
    groups.py   runs that differ only by their seed, as one
    units.py    epochs and steps as they are handed in; whether a run counts epochs, optimizer steps, or widths
    alerts.py   what led to an alert, kept with the run
    lock.py     one writer at a time; a kill lets go
    dataset.py  a run as one labelled xarray data set

The folder, format 2 (format 1 still opens)::

    RUN/header.json                        what was trained, on what, by which versions; written once
    RUN/scalars.jsonl                      one line a record (epoch, step, scalars, numbers, branch) or a note to one
    RUN/records/000003.train.safetensors   the whole measurement of one split at one record
    RUN/records/000003.train.extras.safetensors   arrays the observer keeps beside it
    RUN/gallery.train.safetensors          the samples that eigenfunctions are shown on
    RUN/initial.safetensors                the network at its start, which later features are compared with
    RUN/alerts/000003.0.json               an alert that fired: values, limit, the command that draws them
    RUN/end.json                           status, reason and results; absent while running or after a kill
    RUN/writer.lock                        locked while somebody writes; a kill releases it

A record's line is appended only after its files lie safely on disk, so a run killed at any moment opens
with every completed record, and no completed record is ever removed. No file contains a pickle.
"""

from __future__ import annotations

from phiscope.runs.by_hand import write_run
from phiscope.runs.gallery import Gallery
from phiscope.runs.layout import FORMAT_VERSION, KEPT_EIGENVECTORS
from phiscope.runs.reading import Record, Run, open_run
from phiscope.runs.writing import RunWriter

__all__ = ["FORMAT_VERSION", "KEPT_EIGENVECTORS", "Gallery", "Record", "Run", "RunWriter", "open_run", "write_run"]
