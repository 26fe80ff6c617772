"""Findings beside the paper's claims: numbered, and withdrawn where the numbers do not show them."""

from made_outcomes import SEEDS, made
from phiscope.reproduction.discoveries.numbered import findings
from phiscope.reproduction.families import code, ladder, scaling
from phiscope.reproduction.summary import summarize


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


def test_the_readout_finding_needs_a_spectrum_that_stays():
    def told(ratio_with_decay):
        outcomes = {}
        for condition in scaling.FAMILY.small:
            decays = condition.label == scaling.STILL_ALL
            numbers = {
                "dynamical_low_rank": 0.2 if decays else 0.4, "dynamical_low_rank_centered": 0.2 if decays else 0.4,
                "used_variance": 0.6 if decays else 0.5, "k90": 20.0, "output_rank": 9.0, "output_rank_raw": 9.0,
                "participation_ratio_centered": 9 * (ratio_with_decay if decays else 1.5), "nc1": 1.0,
                "dynamical_low_rank_random_head": 0.5, "initial_kernel_similarity": 1.0, "test_accuracy": 0.9,
            }  # fmt: skip
            outcomes |= {
                condition.setup.with_seed(seed).key: made(condition.setup.with_seed(seed), numbers) for seed in SEEDS
            }
        found = findings([summarize(scaling.FAMILY, outcomes, scale="small")])
        return next(one for one in found if "readout" in one.title)

    assert "Not so" not in told(1.5).text
    assert told(1.2).text.endswith("(Not so in these trainings.)")
    assert len(told(1.5).rows) == 3
    assert all(len(row) == len(told(1.5).heads) for row in told(1.5).rows)


def _climbed(seeds, own):
    """The clothes' ladder for some seeds: all numbers as they should go, but D_LR of f as told."""
    outcomes = {}
    for number, condition in enumerate(ladder.FAMILY.medium.conditions):
        numbers = {name: number + 1.0 if up else 9.0 - number for _, name, _, up in ladder.COMPARED}
        numbers |= {"train_accuracy": 1.0, "dynamical_low_rank": own[number]}
        outcomes |= {
            condition.setup.with_seed(seed).key: made(condition.setup.with_seed(seed), numbers) for seed in seeds
        }
    found = findings([], [summarize(ladder.FAMILY, outcomes, scale="medium")])
    return next((one for one in found if one.command == "phiscope reproduce ladder --scale medium"), None)


def test_the_ladder_is_told_from_two_seeds_on():
    assert _climbed(SEEDS[:1], (1, 2, 3, 2, 1)) is None
    found = _climbed(SEEDS[:2], (1, 2, 3, 2, 1))
    assert "Means over 2 seeds" in found.text
    assert "Not so: D_LR of f." in found.text
    assert "(Not so in these trainings.)" not in found.text
    row = next(row for row in found.rows if row[0] == "weight change")
    assert row[-1] == "+1.0, +1.0"
    assert _climbed(SEEDS, (1, 2, 3, 4, 5)).text.endswith("(Not so in these trainings.)")
