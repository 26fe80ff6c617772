"""A measurement and an empty run, for all tests of runs."""

import pytest

from phiscope.runs import RunWriter
from small_runs import HEADER, measured


@pytest.fixture
def measurement():
    return measured()


@pytest.fixture
def writer(tmp_path):
    return RunWriter.create(tmp_path / "run", HEADER)
