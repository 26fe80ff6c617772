"""One training and its observer: folders, late scalars, the end, and what a framework must not be disturbed by."""

import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError
from phiscope.integrations.fit import AGAIN, UNSAID, Choices, Fit, Start, observer_signature, plain_scalars, whole


def choices(tmp_path, *, probe_data=None, resume=False, trackers=None, header=None, **settings):
    return Choices.checked(probe_data, tmp_path / "mine", resume, trackers, header, settings)


def start(net, **more):
    torch.manual_seed(1)
    probe = (torch.randn(40, 4), torch.arange(40) % 3)
    return Start(network=net, probe_data=probe, facts={"framework": "none"}, **more)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def test_settings_are_those_of_the_observer_and_no_others(tmp_path):
    with pytest.raises(InputError, match="no setting 'max_sample'; did you mean max_samples"):
        choices(tmp_path, max_sample=3)
    with pytest.raises(InputError, match="is no schedule"):
        choices(tmp_path, every="sometimes")
    with pytest.raises(InputError, match="every_steps='epoch' counts no steps"):
        choices(tmp_path, every_steps="epoch")
    names = set(observer_signature().parameters)
    assert {"probe_data", "run", "every", "every_steps", "head", "features", "alerts", "trackers", "resume"} <= names


def test_late_scalars_join_their_record_and_early_ones_the_next(tmp_path, net):
    fit = Fit(choices(tmp_path))
    fit.begin(start(net))
    fit.record(0.0, 0)
    fit.hear({"loss": 3.0}, 0.5, 5)
    fit.hear({"loss": 2.0}, 0.7, 7)
    fit.record(1.0, 10, {"accuracy": torch.tensor(0.5)})
    fit.hear({"eval_loss": 1.0}, 1.0, 10)
    fit.hear({"last": 9.0}, 1.5, 15)
    fit.end("completed")
    first, second = phiscope.open_run(fit.path).records
    assert first.scalars == {}
    assert second.scalars == {"loss": 2.0, "accuracy": 0.5, "eval_loss": 1.0, "last": 9.0}


def test_a_moment_is_measured_once(tmp_path, net):
    fit = Fit(choices(tmp_path))
    fit.begin(start(net))
    for _ in range(2):
        fit.record(0.0, 0, {"loss": 1.0})
    fit.end("completed")
    assert len(phiscope.open_run(fit.path).records) == 1


def test_a_second_fit_gets_a_folder_of_its_own_and_the_first_has_failed(tmp_path, net):
    fit = Fit(choices(tmp_path))
    fit.begin(start(net))
    first = fit.path
    fit.begin(start(net))
    assert fit.path == tmp_path / "mine-2"
    run = phiscope.open_run(first)
    assert (run.status, run.reason) == ("failed", AGAIN)
    fit.end("completed")
    assert phiscope.open_run(fit.path).status == "completed"
    fit.end("failed")
    assert phiscope.open_run(fit.path).status == "completed"


def test_a_checkpoint_goes_on_in_its_run_as_a_branch(tmp_path, net):
    fit = Fit(choices(tmp_path))
    fit.begin(start(net))
    fit.record(0.0, 0)
    fit.record(1.0, 10)
    state = fit.state()
    fit.record(2.0, 20)
    fit.end("completed")
    Fit(choices(tmp_path)).begin(start(net))  # another run between them
    again = Fit(choices(tmp_path))
    again.begin(start(net, state=state))
    assert again.path == fit.path
    again.record(1.0, 10, {"late": 1.0})
    again.record(2.0, 21)
    again.end("completed")
    run = phiscope.open_run(again.path)
    assert [(record.epoch, record.step) for record in run.records] == [(0.0, 0), (1.0, 10), (2.0, 21)]
    assert run.branches == (0, 1)
    assert run.hidden == 1
    assert run.records[1].scalars == {"late": 1.0}


def test_a_checkpoint_whose_run_is_not_here_says_so(tmp_path, net):
    fit = Fit(choices(tmp_path))
    fit.begin(start(net))
    fit.record(0.0, 0)
    state = {**fit.state(), "run": "0" * 32}
    fit.end("completed")
    again = Fit(choices(tmp_path))
    with pytest.warns(UserWarning, match="features are compared with those of the checkpoint"):
        again.begin(start(net, state=state))
    assert again.path == tmp_path / "mine-2"
    again.end("completed")


def test_resume_goes_on_in_the_last_run_and_measures_no_state_twice(tmp_path, net):
    fit = Fit(choices(tmp_path))
    fit.begin(start(net))
    fit.record(0.0, 0)
    fit.record(1.0, 10)
    fit.end("completed")
    again = Fit(choices(tmp_path, resume=True))
    again.begin(start(net))
    again.record(1.0, 10)
    again.record(2.0, 20)
    again.end("completed")
    run = phiscope.open_run(fit.path)
    assert [record.epoch for record in run.records] == [0.0, 1.0, 2.0]
    assert run.branches == (0,)


def test_a_network_that_turns_nan_ends_no_training(tmp_path, net):
    fit = Fit(choices(tmp_path))
    fit.begin(start(net))
    fit.record(0.0, 0)
    with torch.no_grad():
        net[0].weight.fill_(float("nan"))
    with pytest.warns(UserWarning, match="such records have no numbers, and the training goes on"):
        fit.record(1.0, 10, {"loss": float("nan")})
    fit.record(2.0, 20)  # said once; a second warning would be an error here
    fit.end("completed")
    run = phiscope.open_run(fit.path)
    assert [record.splits for record in run.records] == [("probe",), (), ()]


def test_steps_that_come_several_at_a_time_miss_nothing(tmp_path, net):
    fit = Fit(choices(tmp_path, every_steps=10))
    fit.begin(start(net))
    fit.record(0.0, 0)
    due = []
    for step in (3, 6, 9, 12, 15, 18, 21, 40):
        if fit.due(step / 10, step):
            due.append(step)
            fit.record(step / 10, step)
    assert due == [12, 21, 40]
    fit.end("completed")
    run = phiscope.open_run(fit.path)
    assert run.unit == "step"
    assert [record.at for record in run.records] == [0.0, 12.0, 21.0, 40.0]


def test_an_alert_asks_to_stop(tmp_path, net):
    alert = phiscope.Alert("effective_dimension", below=1e9, patience=1, then="stop")
    fit = Fit(choices(tmp_path, alerts=[alert]))
    fit.begin(start(net))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fit.record(0.0, 0)
    fit.end("interrupted")
    calm = Fit(choices(tmp_path))
    calm.begin(start(net))
    assert not calm.record(0.0, 0)
    calm.end("completed")


LEFT = """
import sys, torch
from pathlib import Path
from torch import nn
from phiscope.integrations.fit import Choices, Fit, Start
fit = Fit(Choices.checked(None, Path(sys.argv[1]), False, None, None, {"background": sys.argv[2] == "background"}))
net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
fit.begin(Start(network=net, probe_data=(torch.randn(40, 4), torch.arange(40) % 3), facts={}))
fit.record(0.0, 0)
exec(sys.argv[3])
"""


ENDS = [
    ("raise ValueError('no bread')", "failed", "ValueError: no bread"),
    ("raise KeyboardInterrupt", "interrupted", ""),
    ("sys.exit(0)", "failed", UNSAID),
    ("fit = None", "failed", UNSAID),
]
"""What a process does last, and what its run says then; each is a process that loads torch."""


@pytest.mark.parametrize(
    ("mode", "code", "status", "reason"),
    [
        ("plain", *ENDS[0]),
        ("background", *ENDS[3]),
        *(pytest.param("plain", *end, marks=pytest.mark.slow) for end in ENDS[1:]),
        *(pytest.param("background", *end, marks=pytest.mark.slow) for end in ENDS[:3]),
    ],
)
def test_a_process_that_ends_says_how_the_training_ended(tmp_path, mode, code, status, reason):
    subprocess.run([sys.executable, "-c", LEFT, str(tmp_path / "a"), mode, code], capture_output=True, check=False)
    run = phiscope.open_run(tmp_path / "a")
    assert (run.status, run.reason, len(run.records)) == (status, reason, 1)


def test_what_of_a_log_is_a_number():
    log = {"loss": torch.tensor([2.0]), "epoch": 3, "step": 1, "text": "a", "list": [1, 2], "none": None, "n": 4}
    assert plain_scalars(log) == {"loss": 2.0, "n": 4.0}
    assert whole(1.9999999999) == 2.0
    assert whole(1.5) == 1.5
