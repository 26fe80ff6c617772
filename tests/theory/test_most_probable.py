"""The most probable kernels: closed forms, limits, invariances, brute force, and sampled networks."""

import numpy as np
import pytest
from scipy.special import erf

from bayesian_networks import sampled_kernel
from phiscope.errors import InputError
from phiscope.metrics.width import centered_alignment, kernel_rotate
from phiscope.studies.posterior import posterior_kernels
from phiscope.studies.width import noisy_xor
from phiscope.theory import map_kernels, nngp
from phiscope.theory.most_probable import top_conjugate
from phiscope.theory.setting import setting_of

X, Y = noisy_xor()
GOAL = np.outer(Y, Y)
QUICK = {"samples": 4096}


def apart(kernel, other):
    return np.linalg.norm(kernel - other) / np.linalg.norm(other)


# Closed forms and limits.


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
def test_an_infinite_width_returns_the_gaussian_process(activation, depth):
    found = map_kernels(X, Y, 10**10, depth, activation, 1.2, 0.1, **QUICK)
    for kernel, wide in zip(found.kernels, nngp(X, depth, activation, 1.2, 0.1).kernels, strict=True):
        assert apart(kernel, wide) < 1e-8
    assert apart(map_kernels(X, Y, 100, depth, activation, 1.2, 0.1, **QUICK).kernels[-1], wide) > 1e-4


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_linear_networks_solve_their_closed_form(depth):
    g, b, width = 0.9, 0.05, 60
    found = map_kernels(X, Y, width, depth, "identity", g, b)
    for layer in range(1, depth + 1):
        C, T = found.kernels[layer - 1], found.conjugates[layer]
        expected = g * np.linalg.inv(np.linalg.inv(C) - 2 * g / width * T) + b
        assert apart(found.kernels[layer], expected) < 1e-5
        inverse = np.linalg.inv(C)
        second = (found.kernels[layer] - b) / g
        below = width / 2 * (inverse @ second @ inverse - inverse)
        assert apart(found.conjugates[layer - 1], below) < 1e-4
    assert apart(found.conjugates[depth], top_conjugate(found.kernels[depth], Y[:, None], 0.1)) < 1e-5


def test_the_top_conjugate_is_the_slope_of_the_evidence():
    kernel, noise = nngp(X, 1).kernels[1], 0.3
    values = np.random.default_rng(0).normal(size=(8, 3))

    def evidence(C):
        loud = C + noise * np.eye(8)
        return -(3 * np.linalg.slogdet(loud)[1] + np.trace(values.T @ np.linalg.solve(loud, values))) / 2

    move = np.random.default_rng(1).normal(size=(8, 8))
    move, step = move + move.T, 1e-6
    change = (evidence(kernel + step * move) - evidence(kernel - step * move)) / (2 * step)
    assert change == pytest.approx(np.vdot(top_conjugate(kernel, values, noise), move), rel=1e-6)


def test_the_kernels_are_a_saddle_of_the_action():
    """Brute force: no small change of any kernel moves the action, of a linear network where ln Z is known."""
    g, b, width, noise, depth = 0.9, 0.05, 30, 0.2, 2
    found = map_kernels(X, Y, width, depth, "identity", g, b, noise)

    def action(kernels, conjugates):
        loud = kernels[-1] + noise * np.eye(8)
        total = -(np.linalg.slogdet(loud)[1] + Y @ np.linalg.solve(loud, Y)) / 2
        for below, above, T in zip(kernels, kernels[1:], conjugates[1:], strict=False):
            total += -np.vdot(T, above - b) - width / 2 * np.linalg.slogdet(np.eye(8) - 2 * g / width * below @ T)[1]
        return total

    random, step = np.random.default_rng(2), 1e-4
    for which in range(2 * depth):
        kernels, conjugates = list(found.kernels), list(found.conjugates)
        chosen, place = (kernels, 1 + which // 2) if which % 2 else (conjugates, 1 + which // 2)
        move = random.normal(size=(8, 8))
        move = step * np.linalg.norm(chosen[place]) * (move + move.T) / np.linalg.norm(move + move.T)
        still = chosen[place]
        chosen[place] = still + move
        up = action(kernels, conjugates)
        chosen[place] = still - move
        down = action(kernels, conjugates)
        middle = action(found.kernels, found.conjugates)
        # The odd part of the change vanishes at a saddle; the even one does not.
        assert abs(up - down) < 0.02 * abs(up + down - 2 * middle), which


def test_first_order_is_the_slope_in_one_over_the_width():
    wide = nngp(X, 2).kernels[2]
    changes = [
        width * (map_kernels(X, Y, width, 2, order=order, **QUICK).kernels[2] - wide)
        for width in (4000, 40000)
        for order in ("full", "first")
    ]
    assert apart(changes[0], changes[1]) < 0.01
    assert apart(changes[2], changes[3]) < 0.001
    assert apart(changes[1], changes[3]) < 0.05


def test_the_first_order_by_hand():
    """C_1 = NNGP + (g^2 / N) Cov(phi phi^T, phi phi^T) : T, with the covariance by plain sampling."""
    width, g = 10**5, 1.5
    wide = nngp(X, 1).kernels
    T = top_conjugate(wide[1], Y[:, None], 0.1)
    random, total, weighted, power = np.random.default_rng(0), 0.0, 0.0, 0.0
    root = np.linalg.cholesky(wide[0] + 1e-12 * np.eye(8))
    for _ in range(8):
        phi = erf(random.normal(size=(100_000, 8)) @ root.T)
        pull = np.einsum("ni,ij,nj->n", phi, T, phi)
        total = total + phi.T @ phi / 800_000
        power += pull.mean() / 8
        weighted = weighted + (phi * pull[:, None]).T @ phi / 800_000
    by_hand = g**2 * (weighted - power * total)
    found = width * (map_kernels(X, Y, width, 1).kernels[1] - wide[1])
    # Both are sampled: each of them to about three percent of the correction.
    assert apart(found, by_hand) < 0.08


# Invariances.


def test_the_order_of_the_inputs_does_not_matter():
    order = np.random.default_rng(3).permutation(8)
    found, moved = (map_kernels(x, y, 20, 2, **QUICK) for x, y in ((X, Y), (X[order], Y[order])))
    for kernel, other in zip((*found.kernels, *found.conjugates), (*moved.kernels, *moved.conjugates), strict=True):
        np.testing.assert_allclose(other, kernel[np.ix_(order, order)], rtol=1e-9, atol=1e-12)


def test_a_rotation_of_the_inputs_and_the_sign_of_the_targets_do_not_matter():
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(20, 20)))[0]
    found = map_kernels(X, Y, 20, 1, **QUICK).kernels[1]
    assert apart(map_kernels(X @ turn, Y, 20, 1, **QUICK).kernels[1], found) < 1e-9
    assert apart(map_kernels(X, -Y, 20, 1, **QUICK).kernels[1], found) < 1e-9
    assert apart(map_kernels(X, Y * np.sign(X[:, 2]), 20, 1, **QUICK).kernels[1], found) > 0.01


def test_a_rotation_of_several_targets_does_not_matter():
    values = np.random.default_rng(5).normal(size=(8, 2))
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    found, turned = (map_kernels(X, values @ one, 30, 1, **QUICK).kernels[1] for one in (np.eye(2), turn))
    assert apart(turned, found) < 1e-9


def test_scaled_relu_weights_are_scaled_inputs():
    """ReLU passes a factor on: g of the first layer times 4 is inputs times 2."""
    found, other = (map_kernels(x, Y, 40, 1, "relu", (g, 1.2), **QUICK) for x, g in ((2 * X, 0.3), (X, 1.2)))
    for kernel, same in zip(found.kernels, other.kernels, strict=True):
        assert apart(kernel, same) < 1e-10


def test_the_same_call_gives_the_same_numbers_and_another_base_nearly():
    one, again, other = (map_kernels(X, Y, 20, 1, seed=seed) for seed in (0, 0, 1))
    assert (one.kernels[1] == again.kernels[1]).all()
    assert 0 < apart(other.kernels[1], one.kernels[1]) < 0.01


def test_layers_may_have_widths_of_their_own():
    narrow, mixed, wide = (map_kernels(X, Y, width, 2, **QUICK) for width in (20, (20, 10**9), 10**9))
    assert mixed.widths == (20, 10**9)
    goal = [kernel_rotate(one.kernels[2], nngp(X, 2).kernels[2]) for one in (narrow, mixed, wide)]
    assert goal[0] > 1.2 * goal[1] > 1e3 * goal[2]


# What is said of the solution, and refusals.


def test_a_solution_says_how_far_to_trust_it():
    found = map_kernels(X, Y, 20, 2, **QUICK)
    assert 0 <= found.residual < 1e-5
    assert 0.5 < found.sample_share < 1
    assert (found.order, found.depth, found.activation, found.noise) == ("full", 2, "erf", 0.1)
    assert map_kernels(X, Y, 2000, 2, **QUICK).sample_share > found.sample_share


def test_targets_that_pull_too_hard_are_refused():
    with pytest.raises(InputError, match="the kernels of width 5 do not settle"):
        map_kernels(X, 30 * Y, 5, 1, noise=1.0, **QUICK)


def test_a_sample_of_which_little_counts_is_refused(monkeypatch):
    monkeypatch.setattr("phiscope.theory.most_probable.REFUSED_SHARE", 0.95)
    with pytest.raises(InputError, match=r"the tilt leaves 8\d % of the base sample, expected 95 % or more"):
        map_kernels(X, Y, 20, 1, **QUICK)


def test_an_iteration_that_does_not_settle_is_refused(monkeypatch):
    monkeypatch.setattr("phiscope.theory.most_probable.STEPS", 2)
    with pytest.raises(InputError, match="do not settle: they still change by"):
        map_kernels(X, Y, 20, 2, **QUICK)


def test_noise_below_rounding_is_refused():
    twins = np.concatenate([X, X])
    with pytest.raises(InputError, match="noise=1e-30 is lost beside a kernel"):
        map_kernels(twins, np.concatenate([Y, Y]), 20, 1, "identity", noise=1e-30)


# Networks sampled from the posterior.


def test_all_weights_sampled_agree_with_networks_weighed():
    """Two samplers that share nothing: a slice sampler of every weight, and the prior weighed by its evidence."""
    x, y = X[:4], Y[:4]
    chain, chains = sampled_kernel(
        x, y, depth=1, width=6, weight_variance=1.5, noise=0.3, steps=2500, settle=250, chains=2
    )
    weighed = posterior_kernels(setting_of(x, 1, "erf", 1.5, 0.0), y[:, None], width=6, noise=0.3, draws=40_000, seed=0)
    error = apart(chains[0], chains[1])
    assert apart(chain, weighed.kernels[1]) < max(2 * error, 0.05)
    assert apart(nngp(x, 1).kernels[1], weighed.kernels[1]) > 0.05


@pytest.mark.parametrize(
    ("depth", "width", "draws"),
    [
        (1, 20, 30_000),
        pytest.param(1, 100, 100_000, marks=pytest.mark.slow),
        pytest.param(2, 20, 400_000, marks=pytest.mark.slow),
    ],
)
def test_it_beats_first_order_and_that_beats_infinite_width(depth, width, draws):
    setting = setting_of(X, depth, "erf", 1.5, 0.0)
    sampled = posterior_kernels(setting, Y[:, None], width=width, noise=0.1, draws=draws, seed=1).kernels[-1]
    full, first = (map_kernels(X, Y, width, depth, order=order).kernels[-1] for order in ("full", "first"))
    wide = nngp(X, depth).kernels[-1]
    errors = [apart(kernel, sampled) for kernel in (full, first, wide)]
    assert errors == sorted(errors)
    assert errors[0] < 0.05
    assert abs(centered_alignment(full, GOAL) - centered_alignment(sampled, GOAL)) < 0.03
    assert centered_alignment(full, GOAL) > centered_alignment(wide, GOAL)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("depth", "width", "scale"), [(1, 20, 1.0), (1, 100, 1.0), (1, 50, 2.0), (2, 20, 1.0), (2, 50, 2.0)]
)
def test_against_slice_sampling_of_all_weights(depth, width, scale):
    sampled, chains = sampled_kernel(
        X, scale * Y, depth=depth, width=width, weight_variance=1.5, noise=0.1, steps=30_000, settle=3000, chains=4
    )
    noise = np.linalg.norm(chains.std(axis=0, ddof=1)) / 2 / np.linalg.norm(sampled)
    full, first = (map_kernels(X, scale * Y, width, depth, order=order).kernels[-1] for order in ("full", "first"))
    errors = [apart(kernel, sampled) for kernel in (full, first, nngp(X, depth).kernels[-1])]
    assert errors[0] < 0.05 + 2 * noise
    assert errors[1] < errors[2]
    # At width 100 both corrections lie within the sampler's own error.
    assert errors[0] < errors[1] + noise
    assert abs(centered_alignment(full, GOAL) - centered_alignment(sampled, GOAL)) < 0.03 + 2 * noise


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_change_is_largest_near_the_critical_point():
    scales = (0.5, 0.6, np.pi / 4, 1.0, 1.25, 1.5, 2.0, 3.0)
    changes = []
    for g in scales:
        wide = nngp(X, 4, "erf", g, 0.02).kernels[4]
        changes.append(apart(map_kernels(X, Y, 50, 4, "erf", g, 0.02).kernels[4], wide))
    # chi is 1 at pi/4 without biases, and at 1.21 with these.
    assert int(np.argmax(changes)) in (2, 3, 4)
    assert changes[0] < 0.6 * max(changes) > changes[-1]
