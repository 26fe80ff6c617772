"""The engine that runs what is missing and loses nothing that is finished."""

from dataclasses import replace

import pytest

from made_outcomes import TINY
from phiscope.errors import InputError
from phiscope.reproduction import engine
from phiscope.reproduction.engine import Store, run_missing
from phiscope.reproduction.outcome import NUMBERS
from phiscope.reproduction.training import train


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(folder=tmp_path / "outcomes")


def _setups(n):
    return [TINY.with_seed(seed) for seed in range(n)]


def test_only_what_is_missing_is_run(store, monkeypatch):
    trained = []
    monkeypatch.setattr(engine, "train", lambda setup, **_: trained.append(setup.seed) or train(setup))
    assert run_missing(_setups(2), store, progress=False).done == 2
    assert run_missing([*_setups(3), *_setups(3)], store, progress=False).done == 1
    assert trained == [0, 1, 2]
    assert set(store.load(_setups(4))) == {setup.key for setup in _setups(3)}


def test_a_failing_training_loses_no_other(store):
    bad = replace(TINY, n_train=10**6)
    found = run_missing([bad, *_setups(2)], store, progress=False)
    assert found.done == 2
    assert list(found.failed) == [bad.key]
    assert "n_train" in found.failed[bad.key]
    assert store.missing([bad]) == [bad]


def test_a_fault_of_ours_loses_no_other_and_keeps_its_traceback(store, monkeypatch):
    def broken(setup, **_):
        if setup.seed == 0:
            raise ZeroDivisionError("ours")
        return train(setup)

    monkeypatch.setattr(engine, "train", broken)
    found = run_missing(_setups(2), store, progress=False)
    assert found.done == 1
    assert "Traceback" in found.failed[TINY.key]


def test_ctrl_c_keeps_what_is_finished(store, monkeypatch):
    def stopped(setup, **_):
        if setup.seed == 1:
            raise KeyboardInterrupt
        return train(setup)

    monkeypatch.setattr(engine, "train", stopped)
    found = run_missing(_setups(3), store, progress=False)
    assert (found.done, found.interrupted) == (1, True)
    assert len(store.missing(_setups(3))) == 2
    monkeypatch.undo()
    assert run_missing(_setups(3), store, progress=False).done == 2


def test_a_file_left_by_a_kill_is_no_outcome(store):
    store.folder.mkdir()
    (store.folder / "tmp123.part").write_text("{")
    assert store.missing(_setups(1)) == _setups(1)
    run_missing(_setups(1), store, progress=False)
    assert len(store.load(_setups(1))) == 1


def test_two_processes_give_the_numbers_of_one(store, tmp_path):
    other = Store(folder=tmp_path / "others")
    assert run_missing(_setups(3), store, jobs=2, progress=False).done == 3
    run_missing(_setups(3), other, progress=False)
    for key, found in store.load(_setups(3)).items():
        assert found.points == other.load(_setups(3))[key].points


def test_older_outcomes_are_trained_again_when_asked_and_once(store):
    run_missing(_setups(2), store, progress=False)
    old, new = (store.path(setup) for setup in _setups(2))
    old.write_text(old.read_text().replace(f'"numbers":{NUMBERS}', '"numbers":1'))
    before = new.read_bytes()
    assert run_missing(_setups(2), store, progress=False).done == 0
    assert run_missing(_setups(2), store, progress=False, renew=True).done == 1
    assert new.read_bytes() == before
    assert run_missing(_setups(2), store, progress=False, renew=True).done == 0


def test_wrong_use_of_the_engine_is_refused(tmp_path):
    with pytest.raises(InputError, match="1 or more, got 0"):
        run_missing([], Store(folder=tmp_path), jobs=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        run_missing([], Store(folder=tmp_path / "file"))


def test_a_training_without_its_layers_is_run_again_when_asked(store):
    plain, layered = TINY, replace(TINY, layers=True)
    assert store.missing([plain, layered, plain]) == [layered]
    run_missing([plain], store, progress=False)
    assert store.missing([layered]) == store.missing([plain], renew=True) == []
    assert store.missing([layered], renew=True) == [layered]
    assert run_missing([layered], store, progress=False, renew=True).done == 1
    assert store.load([plain])[plain.key].last.layers
    assert store.missing([plain, layered], renew=True) == []
