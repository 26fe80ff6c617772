"""What trackers wrote, read back: by their own readers where they have one, else from their files."""

import atexit
import json
import os
import shutil
import struct
import tempfile
import time
from collections import defaultdict
from pathlib import Path

BLOCK = 32_768

# Trackio reads where its databases lie when it is imported, once a process.
if "TRACKIO_DIR" not in os.environ:
    os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="trackio")
    atexit.register(shutil.rmtree, os.environ["TRACKIO_DIR"], ignore_errors=True)


def tensorboard_log(folder):
    """Everything in the event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # 0 keeps everything; without it pictures and scalars would be sampled.
    log = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    log.Reload()
    return log


def tensorboard_scalars(folder):
    """{name: [(at, value), ...]}."""
    log = tensorboard_log(folder)
    return {name: [(event.step, event.value) for event in log.Scalars(name)] for name in log.Tags()["scalars"]}


def _payloads(content):
    """Records of the log that wandb writes: LevelDB's blocks with a header of seven bytes."""
    assert content[:4] == b":W&B"
    position, part = 7, b""
    while position + 7 <= len(content):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack("<IHB", content[position : position + 7])
        position += 7
        part += content[position : position + size]
        position += size
        if kind in (1, 4):  # whole, or last
            yield part
            part = b""


def wandb_records(folder):
    """Every record of the one run in a folder; the service writes the last ones after finish() has returned."""
    (path,) = Path(folder).glob("wandb/offline-run-*/run-*.wandb")
    latest = time.monotonic() + 30
    while time.monotonic() < latest:
        records = _wandb_records(path)
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        time.sleep(0.05)
    raise AssertionError(f"the run in {path} has not ended")


def _wandb_records(path):
    from wandb.proto.wandb_internal_pb2 import Record

    records = []
    for payload in _payloads(path.read_bytes()):
        record = Record()
        record.ParseFromString(payload)
        records.append(record)
    return records


def wandb_rows(folder):
    """Rows of history, each {name: value}."""
    rows = [record.history.item for record in wandb_records(folder) if record.WhichOneof("record_type") == "history"]
    return [{"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row} for row in rows]


def wandb_config(folder):
    """The configuration, as it was updated last."""
    config = {}
    for record in wandb_records(folder):
        kind = record.WhichOneof("record_type")
        updates = {"config": record.config.update, "run": record.run.config.update}.get(kind, ())
        config |= {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in updates}
    return config


def mlflow_scalars(client, run_id):
    """{name: [(at, value), ...]}."""
    names = client.get_run(run_id).data.metrics
    return {name: [(row.step, row.value) for row in client.get_metric_history(run_id, name)] for name in names}


def trackio_scalars(project, name):
    """{name: [(at, value), ...]} from Trackio's own storage."""
    from trackio.sqlite_storage import SQLiteStorage

    found = defaultdict(list)
    for row in SQLiteStorage.get_logs(project, name):
        for key, value in row.items():
            if key not in ("timestamp", "step"):
                found[key].append((row["step"], value))
    return dict(found)
