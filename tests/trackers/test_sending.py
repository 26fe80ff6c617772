"""One record to every tracker: names, the axis, settings once, and trackers that fail."""

import pytest

from phiscope.trackers import Sending, Tracker, is_own
from phiscope.trackers.sending import axis_of
from small_runs import measured


class Kept(Tracker):
    name = "kept"

    def __init__(self):
        self.told = []

    def scalars(self, numbers, at):
        self.told.append(("scalars", dict(numbers), at))

    def settings(self, settings):
        self.told.append(("settings", dict(settings)))

    def picture(self, name, pixels, at):
        self.told.append(("picture", name, pixels.shape[2], at))

    def close(self, status):
        self.told.append(("close", status))


class Broken(Kept):
    name = "broken"

    def scalars(self, numbers, at):
        raise ConnectionError("no route to host")


def test_every_number_of_every_split_has_its_name():
    kept, m = Kept(), measured()
    Sending([kept], {"name": "mine"}).record(3, 120, {"train": m, "test": m}, seconds=0.5)
    settings, (_, numbers, at) = kept.told
    assert settings == ("settings", {"name": "mine", "n_train": 40, "n_test": 40})
    expected = {f"phiscope/{split}/{name}": v for split in ("train", "test") for name, v in m.to_dict().items()}
    assert numbers == {**expected, "phiscope/epoch": 3.0, "phiscope/step": 120.0, "phiscope/seconds": 0.5}
    assert at == 120


def test_settings_are_sent_once():
    kept, m = Kept(), measured()
    sending = Sending([kept], {"name": "mine"})
    for epoch in range(2):
        sending.record(epoch, None, {"train": m}, seconds=0.0)
    assert [told[0] for told in kept.told] == ["settings", "scalars", "scalars"]


def test_pictures_are_drawn_for_those_who_take_them():
    kept, m = Kept(), measured()
    sending = Sending([kept], {})
    assert sending.draws
    sending.pictures(2, None, {"train": m})
    assert kept.told == [("picture", "phiscope/train/spectrum", 3, 2)]


def test_one_that_fails_is_said_once_and_the_others_get_everything():
    kept, m = Kept(), measured()
    sending = Sending([Broken(), kept], {})
    for epoch in range(3):
        sending.record(epoch, None, {"train": m}, seconds=0.0)
    sending.close("completed")
    assert sending.failures == {"broken": 3}
    (complaint,) = sending.complaints
    assert "the tracker broken failed at epoch 0 (ConnectionError: no route to host); the run on disk has" in complaint
    assert [told[0] for told in kept.told] == ["settings", "scalars", "scalars", "scalars", "close"]


def test_control_an_interrupt_is_not_a_failure():
    class Interrupted(Kept):
        def scalars(self, numbers, at):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Sending([Interrupted()], {}).record(0, None, {}, seconds=0.0)


def test_the_axis_is_the_step_where_it_is_known():
    assert [axis_of(3, 120), axis_of(3.0, None), axis_of(2.75, None)] == [120, 3, 2]


@pytest.mark.parametrize("name", ["phiscope/train/nc1", "phiscope/seconds", "eval/phiscope/train/nc1"])
def test_own_numbers_are_known_again(name):
    assert is_own(name)


@pytest.mark.parametrize("name", ["train_loss", "phiscope", "my_phiscope/x", "eval/phiscopes/x"])
def test_control_others_are_not(name):
    assert not is_own(name)


def test_settings_that_did_not_arrive_are_sent_again_and_to_nobody_twice():
    """The complaint says that the next record tries again; the settings were lost."""

    class Late(Kept):
        name = "late"
        down = True

        def settings(self, settings):
            if self.down:
                raise ConnectionError("no route to host")
            super().settings(settings)

    late, kept, m = Late(), Kept(), measured()
    sending = Sending([late, kept], {"name": "mine"})
    for epoch in range(4):
        late.down = epoch < 2
        sending.record(epoch, None, {"train": m}, seconds=0.0)
    assert [told[0] for told in kept.told] == ["settings", *["scalars"] * 4]
    assert [told[0] for told in late.told] == ["scalars", "scalars", "settings", "scalars", "scalars"]
    assert sending.failures == {"late": 2}
    assert len(sending.complaints) == 1
