"""The doctor's closed forms: all right here, and a wrong or failing one is seen."""

import pytest

from phiscope.cli import closed_forms
from phiscope.cli.closed_forms import CLOSED_FORMS, TOLERANCE, run_checks


def test_there_are_ten_and_all_come_out():
    checks = run_checks()
    assert len(checks) == len(CLOSED_FORMS) == 10
    assert [check.name for check in checks if not check.right] == []


@pytest.mark.parametrize(
    ("got", "right"), [(4.0, True), (4.0 + TOLERANCE, True), (4.0 + 10 * TOLERANCE, False), (float("nan"), False)]
)
def test_a_number_is_right_within_the_tolerance_only(got, right):
    (check,) = run_checks({"four": (4.0, lambda: got)})
    assert check.right == right


def test_an_error_is_kept_with_its_sentence():
    def fails():
        raise OSError("no space left")

    (check,) = run_checks({"stored": (1.0, fails)})
    assert not check.right
    assert (check.got, check.error) == (None, "OSError: no space left")


def test_features_that_are_spoiled_are_seen(monkeypatch):
    """A wrong head has to move the number that it goes into."""
    corners = closed_forms._corners()
    corners[0, 0] += 0.1
    monkeypatch.setattr(closed_forms, "_corners", lambda: corners)
    wrong = {check.name for check in run_checks() if not check.right}
    assert "NC3 of a head that points the other way" in wrong
