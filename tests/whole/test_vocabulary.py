"""A vocabulary of 50,000 words: nothing is n x C, nothing C x C, and rows only for words that occur."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

import phiscope

WORDS, N_TOKENS, WIDTH = 50_000, 20_000, 32

PROGRAM = """
    import json, resource, sys
    import torch
    import phiscope
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(0)
    # Without copies of the weights in the caches of a training nothing is as large as a batch of logits.
    net = nn.Sequential(nn.Embedding({words}, {width}), nn.Tanh(), nn.Linear({width}, {words}, bias=False))
    ids = (torch.rand({n_tokens} // 100, 101) ** 3 * 20_000).long()
    data = [(ids[row : row + 2, :-1], ids[row : row + 2, 1:]) for row in range(0, len(ids), 2)]

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    with torch.no_grad():
        net(data[0][0])
    phiscope.diagonalize(torch.randn(50, 3), targets=torch.arange(50) % 2)["nc1"]
    before = peak()
    if "{what}" == "measure":
        m = phiscope.measure(net, data)
        numbers = dict(m.numbers)
        m.raw, m.centered, m.estimates, m.tolerance_curve, m.class_profile(16)
    else:
        m = phiscope.measure_layers(net, data, ["0", "2"])["2"]
        numbers = dict(m.numbers)
    print(json.dumps({{"grown": peak() - before, "n": m.n_samples, "numbers": len(numbers), "word": m.regime}}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["measure", "layers"])
def test_twenty_thousand_tokens_of_fifty_thousand_words_fit_into_little_memory(what):
    program = textwrap.dedent(PROGRAM).format(words=WORDS, width=WIDTH, n_tokens=N_TOKENS, what=what)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["n"] == N_TOKENS
    assert found["numbers"] > 30
    # n x C in float64 are 8 GB, C x C 20 GB; a batch of logits, of which the search for the head holds several, 40 MB.
    assert found["grown"] < 900e6


class Words(nn.Module):
    """The next word from the present one."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(WORDS, 12), nn.Linear(12, WORDS)

    def forward(self, input_ids):
        return self.head(torch.tanh(self.embed(input_ids)))


def test_numbers_of_a_vocabulary_are_those_of_a_naive_twin():
    """By C x p and p x p alone: W S W^T has the eigenvalues of the root of S around W^T W."""
    torch.manual_seed(0)
    net = Words()
    ids = (torch.rand(30, 21) ** 2 * 300).long() * 150
    measured = phiscope.measure(net, (ids, ids), next_token=True)
    X = torch.tanh(net.embed(ids[:, :-1])).reshape(-1, 12).detach().double().numpy()
    y = ids[:, 1:].reshape(-1).numpy()
    W = net.head.weight.detach().double().numpy()
    Z = X - X.mean(0)
    S = Z.T @ Z / len(X)
    # Classes: outputs modulo a shift that all of them share.
    W = W - W.mean(0)
    values, vectors = np.linalg.eigh(S)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    spans = np.linalg.eigvalsh(root @ W.T @ W @ root)
    r = int((spans > 1e-4 * spans.max()).sum())
    assert (r, measured["output_rank"]) == (12, 12)
    # All directions are outputs: S projected on the outputs' span is S, and D_LR what its spread leaves.
    distance = 1 - np.trace(S) / (np.sqrt(12) * np.linalg.norm(S))
    assert measured["dynamical_low_rank_centered"] == pytest.approx(distance, rel=1e-4)
    assert measured["used_variance"] == pytest.approx(1, rel=1e-6)
    between = sum(np.mean(y == c) * np.outer(Z[y == c].mean(0), Z[y == c].mean(0)) for c in np.unique(y))
    shares = np.array([np.mean(y == c) for c in np.unique(y)])
    explained = np.trace(np.linalg.solve(S, _squared(Z, y))) / (1 - (shares**2).sum())
    assert measured["readout_r2"] == pytest.approx(explained, rel=1e-4)
    assert measured["between_class_variance"] == pytest.approx(np.trace(between), rel=1e-4)
    assert measured.n_classes == WORDS
    assert measured.occurring().labels.tolist() == np.unique(y).tolist()


def _squared(Z, y):
    """cov(phi, y) cov(y, phi) of one-hot targets."""
    crosses = [(Z * (y == c)[:, None]).mean(0) for c in np.unique(y)]
    return sum(np.outer(cross, cross) for cross in crosses)


def test_the_word_cannot_be_told_where_the_vocabulary_spans_all_features():
    torch.manual_seed(0)
    ids = torch.randint(400, (60, 21))
    measured = phiscope.measure(Words(), (ids, ids), next_token=True)
    assert measured.regime is None
    assert measured.evidence.sentence().startswith("cannot be told: output rank r = 12 is more than half of p' = 12")
    assert measured["dynamical_low_rank_random_head"] is not None
