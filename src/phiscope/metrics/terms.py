"""Words that pages, sentences and messages use and that are no numbers, each with the numbers that it goes with."""

from __future__ import annotations

from phiscope.glossary.definition import Term
from phiscope.metrics.regime import (
    EXTENDED_RATIO,
    FROZEN_SIMILARITY,
    HEAD_MOVED,
    MINIMAL_CLIFF,
    MINIMAL_COLLAPSE,
    MINIMAL_DISTANCE,
    MINIMAL_EXTRA_FEATURES,
    MINIMAL_USED_VARIANCE,
    TOLD_SHARE,
)

_REGIME = "m.regime, and m.evidence for the numbers that decided"
_NO_PRAISE = "It says how features are used, not how good a network is."

REGIME_TERMS = (
    Term(
        name="minimal",
        meaning="A regime: the outputs use no more features than they need "
        f"(k₉₀ ≤ r + {MINIMAL_EXTRA_FEATURES}), these dominate (U ≥ {MINIMAL_USED_VARIANCE:g}), are set apart "
        f"(cliff ≥ {MINIMAL_CLIFF:g}) and equally strong (centered D_LR ≤ {MINIMAL_DISTANCE:g}), or as unequal as "
        f"classes or targets are (distance from collapse ≤ {MINIMAL_COLLAPSE:g}). {_NO_PRAISE}",
        aliases=("MF", "minimal features", "minimal feature", "minimal regime", "minimal-feature regime"),
        numbers=("regime", "k90", "used_variance", "dynamical_low_rank_centered", "collapse_distance"),
        place=_REGIME,
    ),
    Term(
        name="extended",
        meaning="A regime: the outputs use significantly more features than they need, "
        f"k₉₀ ≥ {EXTENDED_RATIO:g} r and k₉₀ > r + {MINIMAL_EXTRA_FEATURES}. {_NO_PRAISE}",
        aliases=("EF", "extended features", "extended feature", "extended regime", "extended-feature regime"),
        numbers=("regime", "k90", "output_rank"),
        place=_REGIME,
    ),
    Term(
        name="intermediate",
        meaning="A regime word for what is neither minimal nor extended; the sentence of m.evidence says which "
        "condition of minimal failed.",
        aliases=("between the regimes", "between"),
        numbers=("regime",),
        place=_REGIME,
    ),
    Term(
        name="coefficient",
        meaning="A regime: the features have not moved, only their weights in the head have: "
        f"S_init ≥ {FROZEN_SIMILARITY:g} and ‖W − W₀‖ ≥ {HEAD_MOVED:g} ‖W₀‖. Asked only where the initial network is "
        "known.",
        aliases=("coefficient learning", "coefficient-learning regime", "lazy regime", "lazy training", "frozen"),
        numbers=("regime", "initial_kernel_similarity", "readout_r2"),
        place=_REGIME,
    ),
    Term(
        name="cannot be told",
        meaning="No regime word is given: there are no outputs that vary (for classes none whose differences do), the "
        "outputs are not an affine function of these features (the centered Π̂(k) never reaches 0.9, as in many early "
        "layers), or they are so many that k₉₀ cannot reach twice the output rank "
        f"(r > {TOLD_SHARE:g} p′, p′ the number of units that vary, at most n − 1). Read "
        "D_LR beside its random head instead. With k= of diagonalize, k₉₀ or the cliff may lie behind the leading "
        "eigenfunctions that were computed: ask for more.",
        aliases=("regime cannot be told",),
        numbers=("regime", "dynamical_low_rank_centered", "dynamical_low_rank_random_head"),
        place="m.evidence.sentence()",
    ),
    Term(
        name="cliff",
        meaning="ρ_r / ρ_(r+1) of the centered spectrum: how many times the weakest feature that the outputs need is "
        f"stronger than the next one. Minimal asks for {MINIMAL_CLIFF:g} at least. Where nothing but rounding follows, "
        "rounding takes the place of ρ_(r+1), and pages say that nothing follows.",
        aliases=("spectral gap", "gap", "ρ_r / ρ_(r+1)", "fall behind what the outputs need"),
        numbers=("eigenvalues", "output_rank", "regime"),
        place="m.evidence.cliff",
    ),
    Term(
        name="evenness",
        meaning="√(PR / r) of the centered spectrum: 1 where the outputs' features are equally strong. "
        "Centered D_LR = 1 − U √(PR / r), used variance times evenness taken from 1. m.evidence.relative_dimension is "
        "PR / r itself.",
        aliases=("PR / r", "√(PR / r)"),
        numbers=("participation_ratio_centered", "output_rank", "dynamical_low_rank_centered"),
        place="m.evidence.evenness",
    ),
)

OTHER_TERMS = (
    Term(
        name="rich and lazy",
        meaning="Two ends of D_LR: 0 is the rich end, where the features are the outputs, all equally strong, and 1 "
        "the lazy one. A random head on isotropic features gives 1 − √(r/p), on others what "
        "dynamical_low_rank_random_head says; a head on weak eigenfunctions goes beyond that, up to 1. The number is "
        "never called richness, because it falls where richness grows.",
        aliases=("richness", "rich", "lazy", "laziness", "dynamical richness", "lazy end"),
        numbers=("dynamical_low_rank", "dynamical_low_rank_random_head", "initial_kernel_similarity"),
        place='m["dynamical_low_rank"]',
    ),
    Term(
        name="collapse",
        meaning="Two things that share a word. Neural collapse: the features of a class shrink to its mean and the "
        "means move as far apart as they can, the usual end of a classifier trained long. Dimensional collapse: the "
        "features fall into few directions, a fault of self-supervised training.",
        aliases=("dimensional collapse", "collapsed"),
        numbers=("nc1", "collapse_distance", "effective_dimension_centered", "rankme"),
        place='m["nc1"] and m["collapse_distance"], or m["effective_dimension_centered"] and m["rankme"]',
    ),
    Term(
        name="raw",
        meaning="Read from the second moment M = E[φ φᵀ], as in the paper: the constant function is one of the "
        "eigenfunctions, often by far the strongest.",
        aliases=("uncentered", "second moment", "M"),
        numbers=("eigenvalues",),
        place="m.raw",
    ),
    Term(
        name="centered",
        meaning="Read from the covariance S = M − m mᵀ: the mean feature, and with it the constant function, is taken "
        "off. For classes outputs are then taken as differences of logits. Regimes read this one.",
        aliases=("covariance", "S", "logit differences", "centred"),
        numbers=("eigenvalues", "dynamical_low_rank_centered"),
        place="m.centered",
    ),
    Term(
        name="corrected",
        meaning="An estimate of the population's value, where the plain number of n samples is off by an amount of "
        "order p / n; may step over the end of its range.",
        aliases=("bias-corrected", "corrected for n", "debiased"),
        numbers=("dynamical_low_rank_corrected", "participation_ratio_corrected"),
        place='m["dynamical_low_rank_corrected"] and the like',
    ),
    Term(
        name="interval",
        meaning="A 95 % confidence interval for the population's value, from leaving out each of 20 random shards of "
        "the samples.",
        aliases=("confidence interval", "error bar", "error bars", "standard error"),
        place='m.interval("dynamical_low_rank"), m.curve_interval("cumulative_quality")',
    ),
    Term(
        name="feature map",
        meaning="φ: what the layer before the head makes of an input, a vector of p features.",
        aliases=("phi", "φ", "features", "forward feature map", "p"),
        place="phiscope.split(model, data)",
    ),
    Term(
        name="head",
        meaning="The last linear layer, f(x) = W φ(x) + b, which adds up the features.",
        aliases=("W", "readout", "last layer"),
        numbers=("readout_r2", "head_excess_loss", "nc3"),
        place="phiscope.split(model, data)",
    ),
    Term(
        name="eigenfunction",
        meaning="e_k, a pattern of which features are made: T e_k = ρ_k e_k for the feature operator "
        "(T u)(x′) = E_x[φ(x′)·φ(x) u(x)]. ρ_k is the speed at which the head learns along it.",
        aliases=("eigenfunctions", "e_k", "feature operator", "T", "eigenvector", "eigenvectors", "v_k"),
        numbers=("eigenvalues", "quality", "utilization"),
        place="m.eigenfunctions(features)",
    ),
    Term(
        name="infinite width",
        meaning="The limit in which a network with random weights is a Gaussian process: its kernels are fixed by "
        "depth, activation and variances of weights, whatever the targets are.",
        aliases=("nngp", "NNGP", "Gaussian process", "K0", "conjugate kernel", "conjugate kernels"),
        numbers=("kernel_rescale", "kernel_rotate", "alignment_gain", "signal_slope"),
        place="phiscope.theory.nngp(inputs)",
    ),
    Term(
        name="most probable kernels",
        meaning="Kernels of a network of finite width where its Bayesian posterior, given targets, has its saddle "
        "point: kernels C_a and their conjugates T_a. The noise on the outputs has the variance κ, `noise` in calls. "
        "No statement about networks trained by SGD.",
        aliases=(
            "MAP",
            "MAP kernel",
            "map_kernels",
            "most probable",
            "finite width",
            "conjugates",
            "saddle point",
            "kappa",
            "κ",
        ),
        numbers=("map_residual", "map_sample_share", "kernel_rotate", "alignment_gain"),
        place="phiscope.theory.map_kernels(inputs, targets, width=N)",
    ),
    Term(
        name="cluster",
        meaning="Eigenvalues that are nearly equal, also within sampling error: single eigenfunctions there are "
        "determined only up to a rotation among themselves, sums over the whole cluster are not affected.",
        aliases=("nearly equal", "clusters", "degenerate", "rotated", "rotated toward the classes", "as diagonalized"),
        numbers=("eigenvalues", "cumulative_quality"),
        place="phiscope.analysis.rotation.rotate_to_classes",
    ),
    Term(
        name="by chance",
        meaning="What targets that say nothing would reach: k / (n − 1) in the centered Π*(k).",
        aliases=("chance", "null level", "uninformative labels"),
        numbers=("quality_excess", "held_out_quality"),
        place="m.quality_excess()",
    ),
    Term(
        name="rank tolerance",
        meaning="Output directions weaker than this share of the strongest (of eigenvalues, 1e-4 unless told "
        "otherwise) count as none.",
        aliases=("rank_tolerance", "tolerance"),
        numbers=("tolerance_curve", "output_rank"),
        place="m.rank_tolerance, m.tolerance_curve",
    ),
    Term(
        name="split",
        meaning="The samples a number was measured on, such as train or test; in phiscope.split(model, data) also the "
        "cut of a network into feature map and head.",
        aliases=("probe", "probe set", "train", "test"),
        place='m.provenance["split"], run.records[i].numbers("test")',
    ),
)

TERMS = (*REGIME_TERMS, *OTHER_TERMS)
