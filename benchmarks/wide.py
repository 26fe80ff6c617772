"""Leading eigenfunctions of wide features: time, peak memory, true error and reported bound, beside other solvers.

    python benchmarks/wide.py [--p 4096 --n 12000 --k 64]     every solver on three spectra, truth from LAPACK
    python benchmarks/wide.py --p 4096 --n 1500               the same with fewer samples than features
    python benchmarks/wide.py --large                         p = 16384, n = 50000, k = 256 from a file, ours alone
    python benchmarks/wide.py --head                          C = 50,000 outputs and classes, p = 512 and 1024

Every case runs in a process of its own; memory is what it takes beyond its libraries, and its CPU seconds are more
telling than its wall seconds on a busy machine. Set OMP_NUM_THREADS for the number of threads. scikit-learn comes with
the extra `studies`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from speed_parts.memory import Peak

import phiscope
from phiscope.measurement.wide import diagonalize_leading
from phiscope.moments.row_table import RowTable
from phiscope.spectrum.wide import Limits

SPECTRA = ("decay", "spikes", "bulk")
SOLVERS = ("ours", "ours, iterated", "lapack evr", "arpack", "lobpcg", "sklearn randomized")
MIXED = 1000


def write(path: Path, n: int, p: int, k: int, spectrum: str) -> None:
    """Samples with population eigenvalues 1/k, or k/2 or 2k/3 spikes over a flat bulk; not along the axes."""
    rng = np.random.default_rng(0)
    n_spikes = {"decay": 0, "spikes": k, "bulk": k // 2}[spectrum]
    scale = 1 / np.sqrt(np.arange(1, p + 1)) if spectrum == "decay" else np.where(np.arange(p) < n_spikes, 6.0, 1.0)
    mirror = rng.standard_normal(p).astype(np.float32)
    mirror /= np.linalg.norm(mirror)
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, p))
    for start in range(0, n, MIXED):
        block = rng.standard_normal((min(MIXED, n - start), p), dtype=np.float32) * scale.astype(np.float32)
        rows[start : start + MIXED] = block - 2 * np.outer(block @ mirror, mirror) + 0.1
    rows.flush()


def centered(rows: np.ndarray) -> np.ndarray:
    """Float64 rows A with A^T A the covariance."""
    full = rows.astype(np.float64)
    full -= full.mean(axis=0)
    full /= np.sqrt(len(full))
    return full


def solve(name: str, path: Path, k: int) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Leading eigenvalues of the covariance, bounds where the solver reports any, and what it says."""
    rows = np.load(path, mmap_mode="r")
    if name.startswith("ours"):
        # No memory for a matrix: nothing but products with the samples.
        limits = Limits(formed_first=0, memory=0) if name == "ours, iterated" else Limits()
        found = diagonalize_leading(RowTable({"features": rows}), k, limits=limits)
        return found.centered.eigenvalues, found.centered.eigenvalue_bounds, found.provenance["solver"]
    if name == "sklearn randomized":
        from sklearn.decomposition import PCA

        pca = PCA(k, svd_solver="randomized", random_state=0).fit(np.asarray(rows))
        return pca.explained_variance_ * (len(rows) - 1) / len(rows), None, ""
    full = centered(rows)
    p = full.shape[1]
    if name == "lapack evr":
        side = min(full.shape)
        matrix = full.T @ full if side == p else full @ full.T
        return scipy.linalg.eigh(matrix, subset_by_index=(side - k, side - 1), eigvals_only=True)[::-1], None, ""
    operator = scipy.sparse.linalg.LinearOperator(
        (p, p), matvec=lambda v: full.T @ (full @ v), matmat=lambda v: full.T @ (full @ v), dtype=np.float64
    )
    if name == "arpack":
        return scipy.sparse.linalg.eigsh(operator, k, tol=1e-6, return_eigenvectors=False)[::-1], None, ""
    start = np.random.default_rng(0).standard_normal((p, k))
    values, _ = scipy.sparse.linalg.lobpcg(operator, start, tol=1e-4, maxiter=40)
    return values, None, ""


def head_case(p: int, n_classes: int) -> str:
    """A language-model head: everything that `diagonalize` says about it, and how long the parts take."""
    rng = np.random.default_rng(0)
    n = 20_000
    head = rng.standard_normal((n_classes, p)) / np.sqrt(p), np.zeros(n_classes)
    targets = rng.permutation(np.arange(n) % n_classes)
    features = rng.standard_normal((n, p)) + head[0][targets]
    memory = Peak()
    began = time.perf_counter(), time.process_time()
    measured = phiscope.diagonalize(features, head=head, targets=targets)
    plain = time.perf_counter() - began[0], time.process_time() - began[1]
    numbers = measured.to_dict()
    whole = time.process_time() - began[1]
    more = memory.extra() / 2**30
    return (
        f"p {p:5d}  C {n_classes}  {plain[0]:6.1f} s wall  {plain[1]:6.1f} s CPU  {whole:6.1f} s CPU with all numbers  "
        f"{more:5.2f} GiB more (one C x p array: {n_classes * p * 8 / 2**30:.2f})  {len(numbers)} numbers  "
        f"D_LR {numbers['dynamical_low_rank']:.3f}  cdnv {numbers['cdnv']:.3g}"
    )


def child(name: str, path: str, k: int) -> None:
    """One case, its result as a line of JSON."""
    memory = Peak()
    began = time.perf_counter(), time.process_time()
    values, bounds, words = solve(name, Path(path), k)
    told = {
        "wall": time.perf_counter() - began[0],
        "cpu": time.process_time() - began[1],
        "peak": memory.extra() / 2**30,
        "values": list(map(float, values)),
        "bounds": None if bounds is None else list(map(float, bounds)),
        "words": words,
    }
    print(json.dumps(told))


def run(name: str, path: Path, k: int, timeout: float) -> dict[str, object] | None:
    """The same in a process of its own; None when it takes too long."""
    command = [sys.executable, __file__, "--child", name, "--path", str(path), "--k", str(k)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(f"  {name}: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


def report(name: str, told: dict[str, object] | None, truth: np.ndarray | None) -> None:
    """One line a case: the worst error and the worst bound, each as a share of its eigenvalue."""
    if told is None:
        print(f"  {name:20s} not finished", flush=True)
        return
    values = np.asarray(told["values"])
    error = "" if truth is None else f"  error {np.abs(values / truth[: len(values)] - 1).max():8.1e}"
    bound = "" if told["bounds"] is None else f"  bound {(np.asarray(told['bounds']) / values).max():8.1e}"
    print(
        f"  {name:20s} {told['wall']:7.1f} s wall {told['cpu']:7.1f} s CPU {told['peak']:6.2f} GiB{error}{bound}  "
        f"{told['words']}",
        flush=True,
    )


def main() -> None:
    """Print one table a spectrum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p", type=int, default=4096)
    parser.add_argument("--n", type=int, default=12_000)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--spectra", nargs="+", default=SPECTRA, choices=SPECTRA)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--head", action="store_true")
    parser.add_argument("--timeout", type=float, default=900.0)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.path, args.k)
        return
    if args.head:
        for p in (512, 1024):
            print(head_case(p, 50_000), flush=True)
        return
    if args.large:
        args.p, args.n, args.k, solvers, args.timeout = 16_384, 50_000, 256, SOLVERS[:1], 7200.0
    else:
        solvers = SOLVERS
    with tempfile.TemporaryDirectory() as folder:
        for spectrum in args.spectra:
            path = Path(folder) / "features.npy"
            write(path, args.n, args.p, args.k, spectrum)
            print(f"{spectrum}: n {args.n}, p {args.p}, k {args.k}", flush=True)
            found = {name: run(name, path, args.k, args.timeout) for name in solvers}
            exact = found.get("lapack evr")
            for name, told in found.items():
                report(name, told, None if exact is None else np.asarray(exact["values"]))


if __name__ == "__main__":
    main()
