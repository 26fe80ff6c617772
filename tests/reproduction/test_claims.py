"""Verdicts on made-up outcomes, the families as they are configured, and what is printed and written of them."""

import json
import re

import numpy as np
import pytest

from phiscope.cli.main import run_command
from phiscope.errors import InputError, UnknownNameError
from phiscope.reproduction import engine
from phiscope.reproduction.claims import (
    CHANCE_FACTOR,
    CLEAR_SPREADS,
    STILL,
    Claim,
    ends_in,
    is_clearly_less,
    is_less,
    moves,
    spread_text,
    stays,
)
from phiscope.reproduction.discoveries import findings
from phiscope.reproduction.families import FAMILIES, code, family_named, grokking, learning_rate, poor, regression
from phiscope.reproduction.family import Column, Condition, Family, Results
from phiscope.reproduction.options import LETTERS
from phiscope.reproduction.outcome import Outcome, Point
from phiscope.reproduction.page import write_docs, write_page
from phiscope.reproduction.run import judge, reproduce
from phiscope.reproduction.settings import Setup
from phiscope.reproduction.summary import summarize, summary_facts, verdict_counts
from phiscope.reproduction.text import markdown_page, terminal_text

SEEDS = (0, 1, 2)
A, B = Setup(data="digits"), Setup(data="digits", width=0.5)


def made(setup, numbers, *, status="finished", regime="minimal", steps=None):
    """An outcome with the same numbers at every moment."""
    points = tuple(
        Point(step=step, epoch=step / 10, scalars={}, train=numbers, test=numbers, regimes={"train": regime})
        for step in (setup.measured_steps() if steps is None else steps)
    )
    return Outcome(
        setup=setup, status=status, why="", points=points, source="", seconds=1.0, device="cpu", versions={}
    )  # fmt: skip


TWO = (Condition(label="a", setup=A), Condition(label="b", setup=B))


def family_of(*claims):
    """A family of two conditions."""
    return Family(
        letter="z", name="made", title="Made up", paper="a paper", setting="a setting", small=TWO,
        claims=claims, columns=(Column(title="D_LR", name="d"),),
    )  # fmt: skip


def results_of(a, b, *, number="d", missing=0, diverged=0):
    """Results with one value a seed for each of two conditions."""
    outcomes = {}
    for setup, values in ((A, a), (B, b)):
        for seed, value in zip(SEEDS, values, strict=True):
            one = setup.with_seed(seed)
            gone = setup == B and seed < diverged
            outcomes[one.key] = made(one, {number: value}, status="diverged" if gone else "finished")
    for seed in range(missing):
        del outcomes[B.with_seed(seed).key]
    return Results(family_of(), outcomes, scale="small", seeds=SEEDS)


LOW, HIGH = (0.10, 0.11, 0.12), (0.50, 0.52, 0.54)


def test_a_contrast_is_judged_by_order_clearness_and_size():
    assert is_less("d", "a", "b")(results_of(LOW, HIGH)).verdict == "reproduced"
    assert is_less("d", "a", "b")(results_of(HIGH, LOW)).verdict == "not reproduced"
    # One seed the other way round, or two spreads not reached: the direction only.
    assert is_less("d", "a", "b")(results_of((0.1, 0.2, 0.6), HIGH)).verdict == "direction only"
    assert is_less("d", "a", "b")(results_of((0.1, 0.2, 0.3), (0.31, 0.32, 0.33))).verdict == "direction only"


def test_the_size_is_half_the_papers_on_a_logarithmic_scale():
    factor = 0.52 / 0.11
    for paper, verdict in (((1.0, factor**1.99), "reproduced"), ((1.0, factor**2.01), "direction only")):
        assert is_less("d", "a", "b", paper=paper)(results_of(LOW, HIGH)).verdict == verdict


def test_clearly_less_counts_spreads():
    small, spread = np.array([1.0, 2.0, 3.0]), 1.0
    assert is_clearly_less(small, small + (CLEAR_SPREADS + 0.01) * spread)
    assert not is_clearly_less(small, small + (CLEAR_SPREADS - 0.01) * spread)
    assert not is_clearly_less(small, np.array([10.0, 10.0, 2.9]))


def test_a_bound_has_to_hold_in_every_seed():
    assert stays("d", "a", at_most=0.12)(results_of(LOW, HIGH)).verdict == "reproduced"
    assert stays("d", "a", at_most=0.11)(results_of(LOW, HIGH)).verdict == "direction only"
    assert stays("d", "a", at_most=0.10)(results_of(LOW, HIGH)).verdict == "not reproduced"
    assert stays("d", "a", at_least=0.10, at_most=0.2)(results_of(LOW, HIGH)).verdict == "reproduced"
    assert stays("d", "a", at_least=0.13)(results_of(LOW, HIGH)).verdict == "not reproduced"


def test_moving_and_standing_still():
    assert moves("d", "a", "b", up=True)(results_of(LOW, HIGH)).verdict == "reproduced"
    assert moves("d", "a", "b", up=False)(results_of(LOW, HIGH)).verdict == "not reproduced"
    assert moves("d", "a", "b", up=None)(results_of(LOW, HIGH)).verdict == "not reproduced"
    near = tuple(value + STILL - 1e-9 for value in LOW)
    assert moves("d", "a", "b", up=None)(results_of(LOW, near)).verdict == "reproduced"
    noisy = (0.1, 0.2, 0.3)
    assert moves("d", "a", "b", up=None)(results_of(LOW, noisy)).verdict == "direction only"


def _regimes(setup, by_step):
    points = tuple(Point(step=s, epoch=s / 10, scalars={}, regimes={"train": r}) for s, r in by_step.items())
    return Outcome(
        setup=setup, status="finished", why="", points=points, source="", seconds=1.0, device="cpu", versions={}
    )  # fmt: skip


def test_a_regime_is_read_at_the_end_or_by_an_epoch():
    history = {0: "minimal", 10: "extended", 30: "minimal", 90: "intermediate"}
    outcomes = {A.with_seed(s).key: _regimes(A.with_seed(s), history) for s in SEEDS}
    results = Results(family_of(), outcomes, scale="small", seeds=SEEDS)
    assert ends_in("intermediate", "a")(results).verdict == "reproduced"
    assert ends_in("minimal", "a")(results).verdict == "not reproduced"
    assert ends_in("minimal", "a", by_epoch=3)(results).verdict == "reproduced"
    assert "epoch 3" in ends_in("minimal", "a", by_epoch=3)(results).ours
    # What an untrained network happens to be does not count.
    assert ends_in("minimal", "a", by_epoch=2)(results).verdict == "not reproduced"


def test_a_number_that_is_missing_is_never_reproduced():
    for judged in (is_less("x", "a", "b"), stays("x", "a", at_most=9), moves("x", "a", "b", up=None)):
        assert judged(results_of(LOW, HIGH)).verdict == "not reproduced"


def test_claims_never_disappear_and_say_what_diverged():
    claim = Claim(sentence="s", paper="p", labels=("a", "b"), judge=is_less("d", "a", "b"))
    found = claim.judged(results_of(LOW, HIGH, missing=2))
    assert (found.verdict, found.ours) == ("not run", "–")
    assert "b" in found.why
    found = claim.judged(results_of(LOW, HIGH, diverged=2))
    assert found.verdict == "not reproduced"
    assert "2 of 3 seeds of b diverged" in found.why
    everything = Claim(sentence="s", paper="p", labels=(), judge=is_less("d", "a", "b"))
    assert everything.judged(results_of(LOW, HIGH, missing=1)).verdict == "not run"


def test_a_spread_has_the_digits_it_deserves():
    assert spread_text(np.array([0.0147, 0.0190, 0.0104])) == "0.0147 ± 0.0043"
    assert spread_text(np.array([100.0, 200.0, 300.0])) == "200 ± 100"
    assert spread_text(np.array([1.0, 1.0])) == "1"
    assert spread_text(np.array([0.5, np.nan, 0.6])) == "0.550 ± 0.071"
    assert spread_text(np.array([np.nan])) == "–"


# the families


def test_there_are_nine_families_by_letter_and_name():
    assert {family.letter: name for name, family in FAMILIES.items()} == dict(LETTERS)
    assert family_named("d") is family_named("grokking")
    with pytest.raises(UnknownNameError, match="did you mean grokking"):
        family_named("groking")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_family_is_complete(family):
    for scale in ("small", "full"):
        labels = {condition.label for condition in family.conditions(scale)}
        for claim in family.claims:
            assert set(claim.labels) <= labels, claim.sentence
        assert len([setup.key for setup in family.setups(scale)]) == 3 * len(labels)
    assert bool(family.full) == bool(family.needs) == bool(family.full_setting)
    small = {condition.setup.data for condition in family.small}
    assert not small & {"mnist", "cifar10", "cifar100"}


def test_families_share_the_trainings_they_have_in_common():
    keys = {name: {setup.key for setup in family.setups("small")} for name, family in FAMILIES.items()}
    assert len(keys["poor"] & (keys["minimal"] | keys["shuffled"] | keys["code"])) == 9


def test_results_read_unknown_conditions_as_a_mistake():
    with pytest.raises(UnknownNameError, match="condition"):
        results_of(LOW, HIGH).values("c", "d")


def _names(family):
    return {column.name for column in family.columns} | {
        "dynamical_low_rank", "dynamical_low_rank_centered", "test_accuracy", "test_r2", "train_accuracy", "gap", "nc1",
        "initial_kernel_similarity", "parameter_norm", "tangent_kernel_distance", "nrc1", "collapse_distance",
        "right_code_accuracy", "no_code_accuracy", "dynamical_low_rank_corrected", "dynamical_low_rank_of_1000",
        *(f"dynamical_low_rank_at_{tolerance}" for tolerance in ("1e-10", "0.0001", "0.01", "0.1")),
    }  # fmt: skip


@pytest.fixture(scope="module")
def everything():
    """Every training of every family with made-up numbers between 0 and 1."""
    rng = np.random.default_rng(0)
    outcomes = {}
    for family in FAMILIES.values():
        for setup in family.setups("small"):
            numbers = {name: float(rng.random()) for name in sorted(_names(family))}
            outcomes[setup.key] = made(setup, numbers)
    return outcomes


@pytest.fixture(scope="module")
def summaries(everything):
    """All nine families, judged on the made-up numbers."""
    return [summarize(family, everything, scale="small") for family in FAMILIES.values()]


def test_every_claim_gets_a_verdict_with_figures_and_a_reason(summaries):
    for summary in summaries:
        assert len(summary.claims) == len(summary.family.claims)
        for row in summary.claims:
            assert row.judgement.verdict in ("reproduced", "direction only", "not reproduced"), row.sentence
            assert row.judgement.ours != "–"
            assert row.judgement.why
    assert len(json.dumps(summary_facts(summaries), indent=1)) < 300_000
    counts = verdict_counts(summaries)
    assert counts["not run"] == 0
    own = sum(claim.ours for family in FAMILIES.values() for claim in family.claims)
    assert sum(verdict_counts(summaries, ours=True).values()) == own


def test_random_numbers_do_not_reproduce_the_paper(summaries):
    """The negative control: numbers that mean nothing must not pass."""
    counts = verdict_counts(summaries)
    assert counts["reproduced"] < 0.3 * sum(counts.values())


def test_the_papers_own_figures_reproduce_the_paper():
    """The positive control, where the notes have figures: each network of the code and grokking families as theirs."""
    outcomes = {}
    for condition in code.FAMILY.small:
        frozen = condition.setup.frozen
        numbers = {"test_accuracy": 0.744 if frozen else 0.10, "dynamical_low_rank": 0.63 if frozen else 0.0087}
        for seed in SEEDS:
            setup = condition.setup.with_seed(seed)
            outcomes[setup.key] = made(setup, {name: value * (1 + 0.001 * seed) for name, value in numbers.items()})
    verdicts = [row.judgement.verdict for row in summarize(code.FAMILY, outcomes, scale="small").claims[:3]]
    assert verdicts == ["reproduced"] * 3
    setup = grokking.FAMILY.small[0].setup
    history = {200: (0.51, 0.052, 1.0), 3000: (0.11, 0.998, 1.0)}
    points = tuple(
        Point(
            step=step, epoch=0.0, scalars={"test_accuracy": test, "train_accuracy": train},
            train={"dynamical_low_rank_at_0.01": lowness},
        )
        for step, (lowness, test, train) in history.items()
    )  # fmt: skip
    outcomes = {
        setup.with_seed(seed).key: Outcome(
            setup=setup.with_seed(seed), status="finished", why="", points=points, source="", seconds=1.0,
            device="cpu", versions={},
        )
        for seed in SEEDS
    }  # fmt: skip
    results = Results(grokking.FAMILY, outcomes, scale="small", seeds=SEEDS)
    wanted = ("right long after", "near chance", "tolerance 0.01, train")
    for claim in grokking.FAMILY.claims:
        if claim.labels == ("addition",) and any(words in claim.sentence for words in wanted):
            assert claim.judged(results).verdict == "reproduced", claim.sentence


def _sweep(accuracies, lownesses):
    outcomes = {}
    for condition, accuracy, lowness in zip(learning_rate.FAMILY.small, accuracies, lownesses, strict=True):
        for seed in SEEDS:
            setup = condition.setup.with_seed(seed)
            numbers = {"test_accuracy": accuracy + 0.001 * seed, "dynamical_low_rank": lowness}
            outcomes[setup.key] = made(setup, numbers)
    return [row.judgement.verdict for row in summarize(learning_rate.FAMILY, outcomes, scale="small").claims]


def test_the_learning_rate_sweep_is_judged_by_its_shape():
    rising, hill = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.1, 0.3, 0.6, 0.7, 0.5, 0.2)
    mirrored = [1 - value for value in hill]
    assert _sweep(hill, mirrored) == ["reproduced"] * 3
    assert _sweep(rising, mirrored)[0] == "not reproduced"
    assert _sweep(hill, hill)[1:] == ["not reproduced"] * 2


def test_unequal_targets_are_judged_by_the_closed_form():
    outcomes = {}
    for label, value in ((regression.EQUAL, 0.02), (regression.UNEQUAL, 0.02 + regression.UNEVEN)):
        setup = next(condition.setup for condition in regression.FAMILY.small if condition.label == label)
        for seed in SEEDS:
            outcomes[setup.with_seed(seed).key] = made(setup, {"dynamical_low_rank_centered": value})
    results = Results(regression.FAMILY, outcomes, scale="small", seeds=SEEDS)
    claim = next(claim for claim in regression.FAMILY.claims if "closed form" in claim.sentence)
    assert claim.judged(results).verdict == "reproduced"
    # And the constant itself: features collapsed on targets of spread 1 : 2 : 3 have variances in that ratio.
    spread = np.array([1.0, 2.0, 3.0])
    assert pytest.approx(1 - np.sqrt(spread.sum() ** 2 / (spread**2).sum() / 3), abs=5e-4) == regression.UNEVEN


@pytest.mark.parametrize(("regime", "accuracy", "verdict"), [
    ("minimal", 0.1, "reproduced"), ("minimal", 0.1 * CHANCE_FACTOR + 0.01, "not reproduced"),
    ("extended", 0.1, "not reproduced"),
])  # fmt: skip
def test_minimal_and_poor_needs_both(regime, accuracy, verdict):
    setup = next(condition.setup for condition in poor.FAMILY.small if condition.label == poor.SHUFFLED)
    numbers = {"test_accuracy": accuracy, "dynamical_low_rank": 0.03}
    outcomes = {setup.with_seed(seed).key: made(setup, numbers, regime=regime) for seed in SEEDS}
    results = Results(poor.FAMILY, outcomes, scale="small", seeds=SEEDS)
    assert poor.FAMILY.claims[0].judged(results).verdict == verdict


# what is printed and written


def test_the_terminal_shows_every_claim_beside_the_papers_figures(summaries):
    text = " ".join(terminal_text(summaries).split())
    for summary in summaries:
        for row in summary.claims:
            assert " ".join(row.sentence.split()) in text
            assert " ".join(row.paper.split()) in text
    assert max(map(len, terminal_text(summaries).splitlines())) <= 140


def test_markdown_tables_are_whole(summaries):
    page = markdown_page(summaries, findings(summaries), pictures="images")
    tables = re.findall(r"(?:^\|.*\n)+", page, re.M)
    assert len(tables) == 1 + 2 * len(FAMILIES)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    anchors = re.findall(r"\]\(#([^)]+)\)", page)
    headings = {
        re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in re.findall(r"^## .*", page, re.M)
    }
    assert set(anchors) <= headings
    assert "nan" not in page


def test_findings_keep_their_numbers_when_some_are_missing(summaries):
    every = list(findings(summaries))
    assert [finding.number for finding in every] == list(range(1, len(every) + 1))
    some = list(findings([summary for summary in summaries if summary.family.name != "grokking"]))
    assert [finding.number for finding in some] == [one.number for one in every if "grokking" not in one.command]
    assert all(finding.command.startswith("phiscope reproduce ") and "–" not in finding.text for finding in every)


def test_a_finding_that_the_numbers_do_not_show_says_so():
    def told(right, wrong):
        outcomes = {}
        for strength in code.STRENGTHS:
            for frozen in (False, True):
                setup = next(c.setup for c in code.FAMILY.small if c.label == code.label(strength, frozen))
                accuracy = right if frozen and strength == code.WINDOW else wrong
                for seed in SEEDS:
                    outcomes[setup.with_seed(seed).key] = made(setup.with_seed(seed), {"test_accuracy": accuracy})
        summary = summarize(code.FAMILY, outcomes, scale="small")
        return next(one.text for one in findings([summary]) if "right strength" in one.title)

    assert "Not so" not in told(0.9, 0.1)
    assert told(0.2, 0.1).endswith("(Not so in these trainings.)")


def test_the_page_is_one_file_without_requests(summaries, tmp_path):
    text = write_page(summaries, tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<svg") == len(FAMILIES)
    assert not re.findall(r'(?:src|href)="(?!#|https://arxiv)', text)
    assert "<?xml" not in text
    for summary in summaries:
        for row in summary.claims:
            assert row.judgement.verdict in text
            assert row.sentence.replace("'", "&#39;") in text


def test_docs_are_the_same_when_written_again(summaries, tmp_path):
    summaries = [one for one in summaries if one.family.name in ("shuffled", "poor")]
    for folder in ("one", "two"):
        write_docs(summaries, tmp_path / folder)
    names = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(names) == 2 + len(summaries)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    facts = json.loads((tmp_path / "one" / "reproduction.json").read_text(encoding="utf-8"))
    assert facts == json.loads(json.dumps(summary_facts(summaries)))


def test_a_page_of_nothing_shows_every_claim_as_not_run(tmp_path):
    found = judge(out=tmp_path)
    assert set(verdict_counts(found)) == {"reproduced", "direction only", "not reproduced", "not run"}
    assert verdict_counts(found)["not run"] == sum(not claim.ours for f in FAMILIES.values() for claim in f.claims)
    assert "<svg" not in write_page(found, tmp_path / "page.html").read_text(encoding="utf-8")


# the command


def _refused(capsys, *arguments):
    assert run_command(["reproduce", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["groking"], "did you mean grokking"),
        (["--jobs", "0"], "--jobs"),
        (["--seeds", "2"], "3 seeds or more"),
        (["--scale", "huge"], "--scale"),
        (["code", "--scale", "full"], "--data"),
        (["code", "--scale", "full", "--data", "nowhere"], "nowhere/mnist"),
        (["code", "--docs", "docs"], "leave FAMILY out"),
    ],
)
def test_wrong_use_is_one_sentence(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in _refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def quick(monkeypatch, everything):
    """No training takes time: outcomes are made up."""
    monkeypatch.setattr(engine, "train", lambda setup, **_: everything[setup.key])


def test_the_command_runs_prints_and_writes(quick, capsys, tmp_path):
    assert run_command(["reproduce", "e", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "10.0 % against 74.4 %" in printed
    assert f"page: {tmp_path}/reproduction-e.html" in printed
    assert len(list((tmp_path / "outcomes").iterdir())) == 39
    assert run_command(["reproduce", "e", "--out", str(tmp_path), "--judge"]) == 0
    assert capsys.readouterr().out == printed


def test_the_command_stops_and_goes_on(monkeypatch, everything, capsys, tmp_path):
    def stops(setup, **_):
        if setup.seed == 1:
            raise KeyboardInterrupt
        return everything[setup.key]

    monkeypatch.setattr(engine, "train", stops)
    assert run_command(["reproduce", "poor", "--out", str(tmp_path)]) == 130
    printed = capsys.readouterr()
    assert "NOT RUN" in printed.out
    assert "goes on from here" in printed.err
    monkeypatch.setattr(engine, "train", lambda setup, **_: everything[setup.key])
    assert run_command(["reproduce", "poor", "--out", str(tmp_path)]) == 0
    assert "NOT RUN" not in capsys.readouterr().out


def test_a_fault_gives_exit_code_1_and_the_other_trainings(monkeypatch, everything, capsys, tmp_path):
    def broken(setup, **_):
        if setup.seed == 2:
            raise ZeroDivisionError("ours")
        return everything[setup.key]

    monkeypatch.setattr(engine, "train", broken)
    assert run_command(["reproduce", "poor", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "ZeroDivisionError: ours" in printed.err
    assert "8 trainings" in printed.out
    assert "4 not run" in printed.out


def test_the_door_for_python_checks_its_arguments(tmp_path):
    with pytest.raises(InputError, match="small or full"):
        reproduce(scale="middle", out=tmp_path)
    with pytest.raises(InputError, match="no folder"):
        reproduce("batch-norm", scale="full", data=tmp_path, out=tmp_path)


def test_more_seeds_can_be_asked_for(quick, tmp_path, monkeypatch, everything):
    monkeypatch.setattr(engine, "train", lambda setup, **_: made(setup, {"test_accuracy": 0.1}))
    found = reproduce("poor", seeds=4, out=tmp_path, progress=False)
    assert found.progress.done == 16
    assert found.summaries[0].seeds == (0, 1, 2, 3)
