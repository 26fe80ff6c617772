"""Words that people type: names, symbols, page words; what is ambiguous and what is unknown."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import phiscope
from phiscope.errors import AmbiguousNameError, MissingNumberError, UnknownNameError
from phiscope.glossary.words import FILE, folded, stored
from phiscope.metrics import DEFINITIONS, SCALARS, TERMS, WORDS, definition_of, place_of
from phiscope.metrics.regime import decide_regime
from phiscope.metrics.tables import definitions_file
from phiscope.page.words import REGIME_TITLES, gauges
from phiscope.studies import STUDIES

MEANINGS = {
    "D_LR": "dynamical_low_rank",
    "d_lr": "dynamical_low_rank",
    "dlr": "dynamical_low_rank",
    "D_LRᶜ": "dynamical_low_rank_centered",
    "D_LR^c": "dynamical_low_rank_centered",
    "D_eff": "effective_dimension",
    "Effective dimension": "effective_dimension",
    "PR": "participation_ratio",
    "PRᶜ": "participation_ratio_centered",
    "PR*": "participation_ratio_corrected",
    "U": "used_variance",
    "r": "output_rank",
    "S_init": "initial_kernel_similarity",
    "NC1": "nc1",
    "NC2ᵃ": "nc2_equiangular",
    "tr S_W": "within_class_variance",
    "rho": "eigenvalues",
    "ρₖ": "eigenvalues",
    "rho_k": "eigenvalues",
    "Pi*": "cumulative_quality",
    "Pi*(k)": "cumulative_quality",
    "Π*(k)": "cumulative_quality",
    "Pihat": "cumulative_utilization",
    "Π̂(k)": "cumulative_utilization",
    "Q*": "quality",
    "Qhat": "utilization",
    "quality": "quality",
    "utilization": "utilization",
    "k90": "k90",
    "K₉₀": "k90",
    "minimal": "minimal",
    "extended": "extended",
    "intermediate": "intermediate",
    "coefficient": "coefficient",
    "cannot be told": "cannot be told",
    "cliff": "cliff",
    "richness": "rich and lazy",
    "phi": "feature map",
}


@pytest.mark.parametrize("word", MEANINGS)
def test_a_word_means(word):
    assert WORDS.meaning(word).name == MEANINGS[word]


@pytest.mark.parametrize(
    ("word", "meanings"),
    [
        ("Pi", {"cumulative_quality", "cumulative_utilization"}),
        ("Q", {"quality", "utilization"}),
        ("NC2", {"nc2_equinorm", "nc2_equiangular"}),
        ("rank", {"stable_rank", "rankme", "srank", "output_rank"}),
    ],
)
def test_ambiguous_words_list_what_they_may_mean(word, meanings):
    with pytest.raises(AmbiguousNameError) as caught:
        WORDS.meaning(word)
    assert set(caught.value.meanings) == meanings
    assert all(f"{name} ({DEFINITIONS[name].title}" in str(caught.value) for name in meanings)


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("effective_dimensoin", "effective_dimension"),
        ("D_LLR", "dynamical_low_rank"),
        ("duality", "nc3"),
        ("minmal", "minimal"),
    ],
)
def test_a_miss_offers_the_nearest_name(word, nearest):
    with pytest.raises(UnknownNameError, match="did you mean") as caught:
        WORDS.meaning(word)
    assert nearest in caught.value.nearest
    assert len(caught.value.nearest) <= 3


def test_a_miss_far_from_everything_says_where_all_are_listed():
    with pytest.raises(UnknownNameError, match="phiscope explain lists all"):
        WORDS.meaning("zzzzzz")
    with pytest.raises(UnknownNameError):
        WORDS.meaning(3)


def test_every_name_symbol_and_title_finds_its_own_row():
    for name, row in DEFINITIONS.items():
        for word in (name, row.symbol, row.title):
            assert WORDS.meanings(word) == (name,), word
    for name, term in TERMS.items():
        assert WORDS.meanings(name) == (name,)
        assert all(name in WORDS.meanings(alias) for alias in term.aliases)
        assert set(term.numbers) <= set(DEFINITIONS)


def test_the_words_of_the_page_are_known():
    evidence = decide_regime(
        output_rank=9,
        n_directions=128,
        k90=9,
        used_variance=0.9,
        dynamical_low_rank=0.1,
        cliff=9.0,
        collapse_distance=0.1,
        initial_kernel_similarity=0.5,
    )
    shown = [one.meaning for one in gauges(evidence)] + [
        one.symbol for one in gauges(evidence) if "/" not in one.symbol
    ]
    for word in (*shown, *REGIME_TITLES.values(), *(title for title in REGIME_TITLES if title)):
        assert len(WORDS.meanings(word)) == 1, word


def test_folding_forgets_how_a_symbol_was_typed():
    assert folded("Π̂(k)") == folded("pi_hat") == "pihat"
    assert folded("Q*ₖ") == "q*"
    # An asterisk tells quality from utilization, and corrected from plain.
    assert folded("PR*") != folded("PR")


@pytest.fixture(scope="module")
def m():
    g = np.random.default_rng(0)
    return phiscope.diagonalize(g.normal(size=(80, 5)), head=(g.normal(size=(3, 5)), None), targets=np.arange(80) % 3)


def test_measurements_know_symbols(m):
    assert m["D_LR"] == m["dynamical_low_rank"]
    assert m["NC1"] == m["nc1"]
    assert m["PRᶜ"] == m["participation_ratio_centered"]
    assert m.interval("PR") == m.interval("participation_ratio")
    assert "D_LR" in m
    assert "S_init" not in m
    assert "Pi" not in m
    assert 3 not in m


@pytest.mark.parametrize(
    ("word", "kind", "sentence"),
    [
        ("S_init", MissingNumberError, "at initialization is not known"),
        ("Pi*", MissingNumberError, "m.raw.cumulative_quality or m.centered.cumulative_quality"),
        ("k90", MissingNumberError, "m.evidence.k90"),
        ("cka", MissingNumberError, r"phiscope.compare\(features_a, features_b\).cka"),
        ("cliff", MissingNumberError, "no number but a word; read m.evidence.cliff"),
        ("minimal", MissingNumberError, "m.regime"),
        ("Pi", AmbiguousNameError, "may mean cumulative_quality"),
        ("dynamical_low_rnk", UnknownNameError, "did you mean dynamical_low_rank"),
    ],
)
def test_what_a_measurement_says_of_other_words(m, word, kind, sentence):
    with pytest.raises(kind, match=sentence):
        m[word]


def test_errors_travel_to_other_processes():
    for word in ("Pi", "zzzz"):
        with pytest.raises(UnknownNameError) as caught:
            definition_of(word)
        again, error = pickle.loads(pickle.dumps(caught.value)), caught.value  # noqa: S301
        assert (type(again), str(again), again.nearest) == (type(error), str(error), error.nearest)


# The generated file.


def test_the_file_is_that_of_the_rows():
    titles = {name: study.title for name, study in STUDIES.items()}
    assert FILE.read_text(encoding="utf-8") == definitions_file(titles), "run: make docs"
    found = stored()
    assert dict(found.words.definitions) == DEFINITIONS
    assert dict(found.words.terms) == TERMS
    assert found.places == {name: place_of(name) for name in DEFINITIONS}
    assert found.places["nc1"] == 'm["nc1"]'
    assert len(json.loads(FILE.read_text(encoding="utf-8"))["definitions"]) >= len(SCALARS)


TEXT_COMMANDS = [[], ["explain"], ["explain", "D_LR"], ["explain", "nonsense"], ["studies"], ["--help"], ["--version"]]


@pytest.mark.parametrize(
    "arguments", [*TEXT_COMMANDS, ["measure", "--help"]], ids=lambda words: " ".join(words) or "none"
)
def test_commands_that_only_print_text_load_no_library(arguments):
    code = (
        "import sys; from phiscope.cli import run_command; "
        f"run_command({arguments!r}); "
        "print(sorted({'torch', 'scipy', 'numpy', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.endswith("[]\n")


def test_control_a_command_that_measures_loads_numpy(tmp_path):
    np.save(tmp_path / "f.npy", np.eye(4))
    code = (
        "import sys; from phiscope.cli import run_command; "
        f"run_command(['measure', '--features', {str(tmp_path / 'f.npy')!r}]); print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.endswith("True\n")
