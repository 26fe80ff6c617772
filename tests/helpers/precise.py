"""The formulas of the method in 50-digit arithmetic, on the very float64 numbers that the package gets."""

from mpmath import mp

mp.dps = 50


def exact(array):
    """A matrix of the same numbers, without rounding."""
    return mp.matrix([[mp.mpf(float(x)) for x in row] for row in array])


def moment(A, B, weights):
    return A.T * mp.diag(weights) * B


def column(vector):
    return mp.matrix(vector)


def pseudo_inverse(symmetric, tolerance):
    values, Q = mp.eigsy(symmetric)
    top = max(values)
    return Q * mp.diag([1 / v if v > tolerance * top else 0 for v in values]) * Q.T


def trace(matrix):
    return sum(matrix[i, i] for i in range(matrix.rows))


def norm(matrix):
    return mp.sqrt(sum(x**2 for x in matrix))


def dimensions(symmetric, suffix):
    values = [v for v in mp.eigsy(symmetric, eigvals_only=True) if v > 0]
    total = sum(values)
    return {
        f"effective_dimension{suffix}": mp.exp(-sum(v / total * mp.log(v / total) for v in values)),
        f"participation_ratio{suffix}": total**2 / sum(v**2 for v in values),
        f"stable_rank{suffix}": total / max(values),
    }


def numbers(features, outputs, labels, tolerance=1e-4):
    """Name -> mpf. Every class from 0 to the largest label has to occur; the covariance has to have full rank."""
    n, p = features.shape
    C = int(labels.max()) + 1
    X, f = exact(features), exact(outputs)
    w = [mp.mpf(1) / n] * n
    one = mp.matrix([1] * n)
    m, fb = moment(X, one, w), moment(f, one, w)
    S = moment(X, X, w) - m * m.T
    F = moment(f, f, w)
    Fc, Bc = F - fb * fb.T, moment(X, f, w) - m * fb.T
    # Centered readings of classes take outputs modulo a common shift.
    shift = mp.eye(f.cols) - mp.ones(f.cols) / f.cols if f.cols > 1 else mp.eye(1)
    Fd, Bd = shift * Fc * shift, Bc * shift
    inverse, centered_inverse = pseudo_inverse(F, tolerance), pseudo_inverse(Fd, tolerance)
    strengths = mp.eigsy(Fd, eigvals_only=True)
    rank = sum(1 for v in strengths if v > tolerance * max(strengths))
    found = dimensions(S + m * m.T, "") | dimensions(S, "_centered")
    projector = inverse * Fc * inverse * Fc
    found["dynamical_low_rank"] = 1 - trace(inverse * Bc.T * Bc) / (mp.sqrt(trace(projector)) * norm(S))
    found["dynamical_low_rank_centered"] = 1 - trace(centered_inverse * Bd.T * Bd) / (mp.sqrt(rank) * norm(S))
    found["used_variance"] = trace(centered_inverse * Bd.T * Bd) / trace(S)

    share = [mp.mpf(int((labels == c).sum())) / n for c in range(C)]
    mu = [moment(X, mp.matrix([int(y == c) for y in labels]), w) / share[c] for c in range(C)]
    S_B = sum((share[c] * (mu[c] - m) * (mu[c] - m).T for c in range(C)), mp.zeros(p))
    Gc = [share[c] * (mu[c] - m) for c in range(C)]
    Dc = mp.diag(share) - column(share) * column(share).T
    found["target_alignment"] = sum(norm(g) ** 2 for g in Gc) / (norm(S) * norm(Dc))
    found["nc1"] = trace((S - S_B) * pseudo_inverse(S_B, mp.mpf(10) ** -10)) / C
    found["nc1_bounded"] = 1 - trace(S_B * S**-1) / (C - 1)
    center = sum(mu, mp.zeros(p, 1)) / C
    v = [mu[c] - center for c in range(C)]
    norms = [norm(x) for x in v]
    mean = sum(norms) / C
    found["nc2_equinorm"] = mp.sqrt(sum((x - mean) ** 2 for x in norms) / C) / mean
    pairs = [(a, b) for a in range(C) for b in range(a)]
    cosine = {(a, b): (v[a].T * v[b])[0] / (norms[a] * norms[b]) for a, b in pairs}
    found["nc2_equiangular"] = sum(abs(cosine[pair] + mp.mpf(1) / (C - 1)) for pair in pairs) / len(pairs)
    spread = [sum(norm(X[i, :].T - mu[c]) ** 2 for i in range(n) if labels[i] == c) / (n * share[c]) for c in range(C)]
    found["cdnv"] = sum((spread[a] + spread[b]) / (2 * norm(mu[a] - mu[b]) ** 2) for a, b in pairs) / len(pairs)
    return found
