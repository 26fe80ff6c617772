"""The settings of observers: whatever cannot be used is one sentence before anything is written."""

import warnings

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError
from phiscope.observe.settings import check_initial, check_settings, check_values

X, Y = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


WRONG = [
    ({"max_samples": 2.5}, "max_samples is 2.5, expected a whole number"),
    ({"max_samples": "100"}, "max_samples is '100', expected a whole number"),
    ({"gallery": 1.5}, "gallery is 1.5, expected a whole number"),
    ({"gallery": -1}, "gallery is -1, expected a whole number of at least 0"),
    ({"gradients": -1}, "gradients is -1"),
    ({"gradients": "a"}, "gradients is 'a'"),
    ({"keep_eigenvectors": -1}, "keep_eigenvectors is -1"),
    ({"rank_tolerance": 2}, "rank_tolerance is 2, expected 0 <= rank_tolerance < 1"),
    ({"header": [1]}, "header is a list, expected a mapping"),
    ({"header": "title"}, "header is a str, expected a mapping"),
    ({"header": {"splits": ["a"]}}, "header has 'splits', which phiscope writes itself"),
    ({"header": {"id": "mine", "format_version": 9}}, "header has 'format_version', 'id', which"),
    ({"header": {"axis": "foo"}}, "header has 'axis'"),
    ({"device": "gpu"}, "device='gpu' cannot be used here"),
    ({"device": "cuda:99"}, "device='cuda:99' cannot be used here"),
    ({"pictures": [True]}, r"pictures=\[True\] is no schedule"),
    ({"pictures": "never"}, "pictures='never' is no schedule; expected .* or None for no pictures"),
    ({"initial": {"foo": torch.ones(1)}}, "initial has 'foo', which is no parameter or buffer of the model"),
    ({"initial": {"0.weight": torch.ones(1)}}, r"initial has '0.weight' of shape \(1,\), expected \(5, 4\)"),
    ({"initial": {"0.weight": 3}}, "initial has an int for '0.weight', expected a tensor"),
    ({"initial": 3}, "initial=3; expected 'now', tensors by name, or None"),
]
BAD_RUNS = [None, 3, b"runs", "", "a\0b"]
PASSIVE = {"keep_eigenvectors", "rank_tolerance", "header", "pictures"}


def made(kind, folder, **settings):
    run = settings.pop("run", folder / "run")
    if kind == "replay":
        torch.save({"epoch": 0, "model": network().state_dict()}, folder / "0.pt")
        return phiscope.replay(network(), str(folder / "*.pt"), (X, Y), run, **settings)
    return getattr(phiscope, kind)(network(), (X, Y), run=run, **settings)


@pytest.mark.parametrize("kind", ["Observer", "PassiveObserver", "replay"])
@pytest.mark.parametrize(("settings", "words"), WRONG, ids=[f"{row[0]!r:.40}" for row in WRONG])
def test_a_value_that_cannot_be_used_is_refused_before_the_run_begins(tmp_path, kind, settings, words):
    if kind == "PassiveObserver" and not PASSIVE.issuperset(settings):
        pytest.skip("it has no such setting")
    with pytest.raises(InputError, match=words):
        made(kind, tmp_path, **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["Observer", "PassiveObserver", "replay"])
@pytest.mark.parametrize("run", BAD_RUNS)
def test_what_names_no_folder_is_refused(tmp_path, kind, run):
    with pytest.raises(InputError, match=r"run=.* names no folder; give the run a folder of its own"):
        made(kind, tmp_path, run=run)


def test_observers_of_frameworks_ask_the_same():
    accelerate = pytest.importorskip("accelerate")
    from phiscope.integrations import AccelerateObserver

    accelerator = accelerate.Accelerator(cpu=True)
    for settings, words in WRONG:
        if "initial" not in settings:
            with pytest.raises(InputError, match=words):
                AccelerateObserver(accelerator, network(), (X, Y), **{"run": "x", **settings})
    with pytest.raises(InputError, match="run=None names no folder"):
        AccelerateObserver(accelerator, network(), (X, Y), run=None)


def test_epochs_that_are_given_once_reach_the_observer(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    from phiscope.integrations import AccelerateObserver

    every = (epoch for epoch in (0, 2))
    with AccelerateObserver(
        accelerate.Accelerator(cpu=True), network(), (X, Y), run=tmp_path / "a", every=every
    ) as observer:
        measured = [observer.record(epoch=epoch) is not None for epoch in range(3)]
    assert measured == [True, False, True]


def test_what_can_be_used_passes():
    check_values({"run": "runs/mine", "header": None, "max_samples": None, "pictures": None, "gallery": 0, "other": 3})
    check_settings(["every"], ["every", "head"], "an observer")
    check_initial("now", {})
    check_initial(None, {})


def test_an_initial_state_in_part_is_completed_and_can_be_resumed(tmp_path):
    net, twin = network(), network()
    with torch.no_grad():
        twin[0].weight.mul_(2)
    given = {"0.weight": twin[0].weight}
    with phiscope.Observer(net, (X, Y), run=tmp_path / "run", initial=given) as observer:
        first = observer.record(epoch=0)["initial_kernel_similarity"]
    with phiscope.Observer(net, (X, Y), run=tmp_path / "run", resume=True) as observer:
        assert observer.record(epoch=1)["initial_kernel_similarity"] == pytest.approx(first)
    assert first < 1


def test_class_names_that_are_no_list_are_refused(tmp_path):
    with pytest.raises(InputError, match="class_names is an int; expected a list"):
        phiscope.Observer(network(), (X, Y), run=tmp_path / "a", header={"class_names": 5})
    with pytest.raises(InputError, match="class_names is an int; expected a list of names"):
        phiscope.write_run(tmp_path / "b", [(0, phiscope.measure(network(), (X, Y)))], header={"class_names": 5})
    assert not (tmp_path / "a").exists()


def test_class_names_of_another_number_than_the_outputs_are_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="class_names has 1 names and the model 3 outputs"):
        phiscope.Observer(network(), (X, Y), run=tmp_path / "a", header={"class_names": ["a"]}).close()
    item = (0, phiscope.measure(network(), (X, Y)))
    with pytest.warns(UserWarning, match="class_names has 4 names and the model 3 outputs"):
        phiscope.write_run(tmp_path / "b", [item], header={"class_names": list("abcd")})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        phiscope.Observer(network(), (X, Y), run=tmp_path / "c", header={"class_names": list("abc")}).close()
        one = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))
        header = {"class_names": ["no", "yes"]}
        phiscope.Observer(one, (X, (Y > 0).float()), run=tmp_path / "d", header=header).close()
