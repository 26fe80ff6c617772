"""What a user names as module:function."""

import sys

import pytest
from torch import nn

from phiscope.cli.named_objects import made_by, model_by
from phiscope.errors import InputError, UnknownNameError

MODULE = """
from torch import nn

def build():
    return nn.Linear(2, 3)

class Box:
    build = staticmethod(build)

net = build()

def fails():
    raise ValueError("no file")

def probe():
    return [1, 2]
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    (tmp_path / "named_training.py").write_text(MODULE)
    (tmp_path / "broken_training.py").write_text("def (")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("named_training", "broken_training"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("there")
def test_functions_and_objects_of_the_current_folder_are_found():
    assert isinstance(model_by("named_training:build"), nn.Linear)
    assert isinstance(model_by("named_training:Box.build"), nn.Linear)
    assert model_by("named_training:net") is model_by("named_training:net")
    assert made_by("named_training:probe", "--data") == [1, 2]


REFUSED = {
    "named_training": (InputError, "MODEL is named module:function"),
    "named_training:": (InputError, "MODEL is named module:function"),
    "no_such_training:build": (InputError, "MODEL .* cannot be imported .*No module named"),
    "broken_training:build": (InputError, "MODEL .* cannot be imported .SyntaxError"),
    "named_training:buidl": (UnknownNameError, "no function in named_training named 'buidl'; did you mean build"),
    "named_training:fails": (InputError, "failed .ValueError: no file"),
    "named_training:probe": (InputError, "gave a list, expected a torch.nn.Module"),
}


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_there_is_one_sentence(name):
    error, sentence = REFUSED[name]
    with pytest.raises(error, match=sentence):
        model_by(name)
