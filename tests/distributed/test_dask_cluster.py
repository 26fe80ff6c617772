"""Dask on a cluster of two worker processes: the same numbers, also when a worker is killed on the way."""

import os
import signal
import threading
import time
import uuid
from pathlib import Path

import dask.array as da
import numpy as np
import pytest

import phiscope
from phiscope.errors import NonFiniteError, UnknownNameError

distributed = pytest.importorskip("distributed", reason="the extra phiscope[dask] is not installed")

N, P, C, CHUNK = 4000, 24, 5, 200


def data():
    rng = np.random.default_rng(3)
    labels = np.sort(rng.integers(0, C, N))
    features = rng.normal(size=(C, P))[labels] + rng.normal(size=(N, P)) + 30.0
    return features, features @ rng.normal(size=(P, C)), labels


def load(block, folder, pause):
    """Stands for reading a chunk from storage; leaves a mark that tells who read."""
    Path(folder, f"{os.getpid()}-{uuid.uuid4().hex}").touch()
    time.sleep(pause)
    return block


def loaded_from(features, folder, pause=0.0):
    # float32 halves what is sent; the numbers are compared with those of the same float32 array.
    lazy = da.from_array(features.astype(np.float32), chunks=(CHUNK, -1))
    return lazy.map_blocks(load, folder=str(folder), pause=pause, dtype=np.float32, meta=np.empty((0, 0), np.float32))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    # A killed worker is started again by its nanny.
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            local_directory=str(folder),
            silence_logs="CRITICAL",
        ) as cluster,
        distributed.Client(cluster) as made,
    ):
        yield made


def assert_same_numbers(found, expected):
    plain = {name: value for name, value in expected.to_dict().items() if "corrected" not in name}
    del plain["readout_r2_held_out"]
    assert {name: found[name] for name in plain} == pytest.approx(plain, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(found.centered.eigenvalues, expected.centered.eigenvalues, rtol=1e-12)


@pytest.mark.slow
def test_a_worker_killed_on_the_way_changes_no_number(client, tmp_path):
    features, outputs, labels = data()
    expected = phiscope.diagonalize(features.astype(np.float32), outputs, targets=labels)
    quiet, folder = tmp_path / "quiet", tmp_path / "killed"
    quiet.mkdir()
    folder.mkdir()
    calm = phiscope.diagonalize(loaded_from(features, quiet), outputs, targets=labels)
    before = {info["pid"] for info in client.run(_who).values()}
    killed = []

    def kill_whoever_reads():
        # Chunks take 50 ms: after the third was begun, moments of others exist already and die with their worker.
        while len(marks := sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)) < 3:
            time.sleep(0.005)
        killed.append(int(marks[-1].name.split("-")[0]))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_whoever_reads, daemon=True)
    killer.start()
    found = phiscope.diagonalize(loaded_from(features, folder, pause=0.05), outputs, targets=labels)
    killer.join(timeout=30)
    assert len(killed) == 1
    assert killed[0] in before
    # Some chunk was read twice, or the kill came too late to matter.
    assert len(list(folder.iterdir())) > N // CHUNK
    assert len(list(quiet.iterdir())) == N // CHUNK
    assert_same_numbers(found, expected)
    # What is random was drawn again as before, so that the corrected twins are the same to the last bit.
    assert found.to_dict() == calm.to_dict()
    assert found.interval("dynamical_low_rank") == calm.interval("dynamical_low_rank")
    client.wait_for_workers(2, timeout=60)
    assert {info["pid"] for info in client.run(_who).values()} != before


def _who():
    return {"pid": os.getpid()}


def test_the_chunk_with_nan_is_named_by_the_cluster_too(client, tmp_path):
    features, _, _ = data()
    features[2 * CHUNK + 7, 1] = np.inf
    with pytest.raises(NonFiniteError, match=r"chunk 2 of 20, rows 400 to 599") as caught:
        phiscope.diagonalize(loaded_from(features, tmp_path))
    assert caught.value.batch == 2


def test_errors_of_other_processes_keep_what_they_know(client):
    error = client.submit(_unknown).exception(timeout=30)
    assert isinstance(error, UnknownNameError)
    assert error.nearest == ("features",)
    assert "did you mean features" in str(error)


def _unknown():
    raise UnknownNameError("array", "feature", ["features"])
