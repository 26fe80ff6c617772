"""One frozen record: the numbers, both spectra, where they came from and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from phiscope.archive import read_record, write_arrays
from phiscope.errors import InputError, NonFiniteError, ShapeError, named_kind
from phiscope.inputs.arrays import as_count, as_rows
from phiscope.inputs.columns import told_columns
from phiscope.inputs.settings import check_flag, path_of
from phiscope.measurement.bands import CURVES, kept_bands
from phiscope.measurement.class_rows import ClassRows, class_rows_from
from phiscope.measurement.methods import ROW, latex_header, latex_row, methods_text
from phiscope.measurement.reading import Reading
from phiscope.measurement.stored import (
    check_array,
    check_facts,
    check_moments,
    checked_evidence,
    evidence_facts,
    evidence_from,
    part_from,
    spectrum_from,
)
from phiscope.metrics.regime import Regime, RegimeEvidence
from phiscope.metrics.tables import html_table, text_table
from phiscope.moments.jackknife import Estimate, Resampling
from phiscope.spectrum.lazy import LateField, settled
from phiscope.spectrum.spectrum import Spectrum, eigenfunctions
from phiscope.typing import FloatArray

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

FORMAT = 2
"""Version of the file layout of one measurement; 2 keeps rows of the classes that occur alone, where they are few."""

_ARRAYS = ("feature_mean", "class_means", "class_weights", "target_squares", "tolerance_curve")
_FACTS = ("n_samples", "n_features", "n_outputs", "n_classes", "rank_tolerance", "warnings")


def _array_shapes(p: int, n_classes: int | None) -> dict[str, tuple[int | None, ...]]:
    """The shapes that the arrays of a file have to have; None stands for any length."""
    return {
        "class_labels": (n_classes,),
        "feature_mean": (p,),
        "class_means": (n_classes, p),
        "class_weights": (n_classes,),
        "target_squares": (2,),
        "tolerance_curve": (None, 3),
    }


_BAND = "band."
"""Arrays of a file that are bands of curves."""


def _nothing() -> None:
    """What a late field holds that nobody gave."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement(Reading):
    """Everything phiscope found out about one feature map on one set of samples.

    ``m["dynamical_low_rank"]`` reads a scalar; a number that could not be given raises with the reason.

    Attributes:
        numbers: every scalar by its name.
        absent: known numbers this measurement does not have, with the reason.
        raw: spectrum of the second moment M (the paper's operator; the constant is one of its functions).
        centered: spectrum of the covariance S.
        feature_mean: m, shape (p,).
        class_means: mean feature vector of each class, shape (num_classes, p), rows of classes that
            never occur are NaN; None unless the targets are classes.
        class_weights: share of each class, shape (num_classes,), sums to 1; None unless classes.
        class_rows: the same of the classes that occur, see `occurring`; None where nobody kept them apart.
        n_samples: number of samples measured.
        effective_samples: (sum w)^2 / sum w^2, below n_samples where they are weighted; None in files that
            were written before it was kept.
        n_groups: groups of rows that were kept together in the shards, see `phiscope.diagonalize`; None where nobody
            named any, and when read from disk.
        n_features: p, the number of features.
        n_outputs: C, None without outputs.
        n_classes: number of classes, None unless the targets are classes.
        rank_tolerance: relative tolerance on the eigenvalues of F and Fc.
        evidence: the regime with the numbers that decided, also where it cannot be told; None in records of kernels
            and files that were written without it.
        warnings: sentences a reader has to know before trusting a number.
        provenance: where this came from: split, model, head, how features were made, versions.
        estimates: corrected values with standard errors, by the name of the plain number.
        resampling: what intervals of all other numbers are made from; None when read from disk.
        target_squares: tr(D) and tr(Dc), shape (2,); None without targets.
        tolerance_curve: rows of rank tolerance, output rank rank(F) and literal D_LR (NaN where it is undefined),
            shape (T, 3); None without outputs.
        bands: of a measurement from disk, the centered 95 % bands that were kept, shape (2, K'), by curve; read them
            with `curve_interval`.
    """

    numbers: Mapping[str, float]
    absent: Mapping[str, str] = field(default_factory=dict)
    raw: Spectrum = LateField()  # type: ignore[assignment]
    centered: Spectrum = LateField()  # type: ignore[assignment]
    feature_mean: FloatArray
    class_means: FloatArray | None = LateField(_nothing)  # type: ignore[assignment]
    class_weights: FloatArray | None = LateField(_nothing)  # type: ignore[assignment]
    class_rows: ClassRows | None = None
    n_samples: int
    effective_samples: float | None = None
    n_groups: int | None = None
    n_features: int
    n_outputs: int | None = None
    n_classes: int | None = None
    rank_tolerance: float = 1e-4
    evidence: RegimeEvidence | None = LateField(_nothing)  # type: ignore[assignment]
    warnings: tuple[str, ...] = LateField(tuple)  # type: ignore[assignment]
    provenance: Mapping[str, str] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] = LateField(dict)  # type: ignore[assignment]
    resampling: Resampling[Measurement] | None = None
    target_squares: FloatArray | None = None
    tolerance_curve: FloatArray | None = LateField(_nothing)  # type: ignore[assignment]
    bands: Mapping[str, FloatArray] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """All that is read late is read now: a measurement can be pickled, copied and sent to another process."""
        return settled(self)

    @property
    def regime(self) -> Regime | None:
        """``"coefficient"``, ``"minimal"``, ``"extended"``, ``"intermediate"``, or None when it cannot be told."""
        return None if self.evidence is None else self.evidence.regime

    @property
    def output_rank(self) -> int:
        """r = rank(Fc), the number of independent centered outputs."""
        return int(self["output_rank"])

    def spectrum(self, *, centered: bool) -> Spectrum:
        """The centered or the raw spectrum."""
        check_flag(centered, name="centered")
        return self.centered if centered else self.raw

    def eigenfunctions(self, features: Any, centered: bool = False) -> FloatArray:
        """Eigenfunctions on any features: e_k(x) = v_k . phi(x) / sqrt(rho_k) (centered: v_k . (phi(x) - m) / ...).

        On the measured samples E[e_j e_k] is the identity.

        Args:
            features: shape (n, p), from the same feature map.
            centered: of the covariance instead of the second moment.

        Returns:
            Shape (n, K), one column an eigenfunction.

        Raises:
            ShapeError: the features have another width.
            NonFiniteError: the features hold NaN or Inf.

        Source: arXiv:2410.04264 v1.

        Example:
            >>> import numpy as np
            >>> from phiscope import diagonalize
            >>> x = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
            >>> np.abs(diagonalize(x).eigenfunctions(x)[0]).round(6).tolist()
            [1.414214, 0.0]
        """
        rows = as_rows(features, name="features", letter="p").astype(np.float64)
        if rows.shape[1] != self.n_features:
            raise ShapeError(f"features have {rows.shape[1]} columns, this measurement has p = {self.n_features}")
        if not np.isfinite(rows).all():
            raise NonFiniteError("features hold NaN or Inf, expected finite numbers", where="features")
        return self._eigenfunctions(rows, centered)

    def _eigenfunctions(self, rows: FloatArray, centered: bool) -> FloatArray:
        spectrum = self.spectrum(centered=centered)
        eigenvalues = spectrum.eigenvalues[: spectrum.eigenvectors.shape[1]]
        return eigenfunctions(rows, eigenvalues, spectrum.eigenvectors, self.feature_mean if centered else None)

    def class_profile(self, k: int | None = None, *, centered: bool = False) -> FloatArray:
        """Mean of each leading eigenfunction over each class, E[e_k | y = c].

        Args:
            k: how many eigenfunctions; None takes all that are stored.
            centered: of the covariance instead of the second moment.

        Returns:
            Shape (num_classes, k); NaN for a class that never occurs.

        Raises:
            InputError: the targets were not classes.
        """
        if self.class_means is None:
            raise InputError("a class profile needs integer targets, and this measurement has none; measure with them")
        kept = None if k is None else as_count(k, name="k", least=0)
        return self._eigenfunctions(self.class_means, centered)[:, :kept]

    def occurring_profile(self, k: int, *, centered: bool = False) -> FloatArray:
        """`class_profile` of the classes that occur, in the order of `occurring`, shape (m, k); no row is NaN.

        Raises:
            InputError: the targets were not classes.
        """
        rows = self.occurring()
        if rows is None:
            raise InputError("a class profile needs integer targets, and this measurement has none; measure with them")
        return self._eigenfunctions(rows.means, centered)[:, : as_count(k, name="k", least=0)]

    def occurring(self) -> ClassRows | None:
        """Mean features and shares of the classes that occur; None unless the targets are classes."""
        if self.class_rows is not None or self.class_means is None or self.class_weights is None:
            return self.class_rows
        there = np.flatnonzero(self.class_weights > 0)
        means, weights = self.class_means[there], self.class_weights[there]
        return ClassRows(labels=there, means=means, weights=weights, n_classes=len(self.class_weights))

    def figure(
        self, name: str = "spectrum", *, class_names: Sequence[str] | None = None, bands: bool = True
    ) -> Drawing:
        """A picture of this measurement (needs matplotlib); ``figure(...).save("fig.pdf", columns=1)`` is for a paper.

        Args:
            name: "spectrum": eigenvalues and shares with 95 % bands; "curves": the shares alone; "classes": which class
                lives on which eigenfunction; "why": D_LR in the plane of used variance and evenness.
            class_names: one text for each class, for "classes".
            bands: make those of "spectrum" and "curves" where shards of samples were gathered, which takes longer than
                the measurement; False draws none.

        Returns:
            A ``matplotlib.figure.Figure`` that a notebook shows, with its ``caption``.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            UnknownNameError: there is no such picture.
        """
        # The one door upward: a result draws itself, yet reading numbers never loads a drawing library.
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.sheets import measurement_sheet

        names = None if class_names is None else tuple(class_names)
        return drawn(measurement_sheet(self, name, class_names=names, bands=bands), purpose="Measurement.figure()")

    def methods_text(self) -> str:
        """Two sentences for a paper's methods (what, n, tolerance, layout, correction, version), and BibTeX entries."""
        return methods_text(self)

    @staticmethod
    def latex_header(names: Sequence[str] = ROW) -> str:
        """The row of symbols above those of `latex_row`, for the same names."""
        return latex_header(names)

    def latex_row(self, label: str | Sequence[str] = "", names: Sequence[str] = ROW) -> str:
        """One row of a LaTeX table: label, n, p, and numbers with their 95 % intervals.

        Args:
            label: of the first cell; a list of names may stand here, and the cell is empty.
            names: of numbers; what is absent is a dash.

        Raises:
            UnknownNameError: there is no such number.
        """
        return latex_row(self, label, names)

    def save(self, path: str | PathLike[str], *, keep_eigenvectors: int | None = None, with_bands: bool = True) -> None:
        """Write one safetensors file without pickle.

        Args:
            path: of the file; one that is there is replaced at once.
            keep_eigenvectors: only so many leading ones; None = all.
            with_bands: make the 95 % bands of the curves first, where shards of samples were gathered; they take
                longer than all numbers. False keeps those that a file has had.

        Raises:
            RunWriteError: the file cannot be written.
        """
        target = path_of(path, name="the file")
        check_flag(with_bands, name="with_bands")
        kept = None if keep_eigenvectors is None else as_count(keep_eigenvectors, name="keep_eigenvectors", least=0)
        rows = self.class_rows if self.class_rows is not None and self.class_rows.is_sparse else None
        sparse = {} if rows is None else {"class_means": rows.means, "class_weights": rows.weights}
        arrays = {name: sparse[name] if name in sparse else getattr(self, name) for name in _ARRAYS}
        arrays = {name: value for name, value in arrays.items() if value is not None}
        if rows is not None:
            arrays["class_labels"] = rows.labels.astype(np.float64)
        for centered in (False, True):
            spectrum = self.spectrum(centered=centered)
            for row in fields(spectrum):
                value = getattr(spectrum, row.name)
                if value is not None:
                    part = value[:, :kept] if row.name == "eigenvectors" else value
                    arrays[f"{'centered' if centered else 'raw'}.{row.name}"] = part
        bands = kept_bands(self) if with_bands else self.bands
        arrays |= {f"{_BAND}{curve}": ends for curve, ends in bands.items()}
        facts = {name: getattr(self, name) for name in _FACTS}
        facts["effective_samples"] = self.effective_samples
        facts["numbers"], facts["absent"] = dict(self.numbers), dict(self.absent)
        facts["provenance"] = dict(self.provenance)
        facts["estimates"] = {name: asdict(value) for name, value in self.estimates.items()}
        facts["evidence"] = evidence_facts(self.evidence)
        # What an older phiscope can read is written as it reads it.
        write_arrays(target, arrays, {"kind": "measurement", "format": FORMAT if sparse else 1, **facts})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Measurement:
        """Read a file written by `save`.

        Raises:
            RunFormatError: the file is unreadable or was written by a newer phiscope; an array is missing, not float64,
                or of another shape than K, p and the number of classes say.
        """
        path = path_of(path, name="the file")
        needed = (*_FACTS, "numbers", "absent", "provenance", "estimates", "evidence")
        arrays, facts = read_record(path, kind="measurement", newest=FORMAT, needed=needed)
        check_facts(path, facts)
        p, c = facts["n_features"], facts["n_classes"]
        known: dict[str, Any] = {name: facts[name] for name in (*_FACTS, "numbers", "absent", "provenance")}
        known |= {name: spectrum_from(path, arrays, name, p) for name in ("raw", "centered")}
        labels = arrays.get("class_labels")
        for name, shape in _array_shapes(p, c if labels is None else labels.size).items():
            check_array(path, name, arrays.get(name), shape, needed=name == "feature_mean")
            known[name] = arrays.get(name)
        check_moments(path, known)
        bands = {name.removeprefix(_BAND): ends for name, ends in arrays.items() if name.startswith(_BAND)}
        for curve, ends in bands.items():
            check_array(path, f"{_BAND}{curve}", ends, (2, None))
        known["bands"] = {curve: ends for curve, ends in bands.items() if curve in CURVES}
        del known["class_labels"]
        if labels is not None:
            rows = class_rows_from(path, labels, known)
            known |= {"class_rows": rows, **rows.late()}
        known["warnings"] = tuple(known["warnings"])
        known["effective_samples"] = facts.get("effective_samples")
        known["estimates"] = {name: part_from(path, Estimate, value, {}) for name, value in facts["estimates"].items()}
        evidence = evidence_from(path, facts["evidence"])
        known["evidence"] = checked_evidence(evidence, known["centered"], known["provenance"])
        if known["evidence"] is not evidence and known["evidence"].regime is None:
            known["absent"] = {**known["absent"], "regime": known["evidence"].sentence()}
        return cls(**known)

    def __str__(self) -> str:
        """The table a person reads."""
        return text_table(self._header(), self.numbers, self.absent, self._notes())

    def _header(self) -> str:
        parts = [f"{self.n_samples} samples, {self.n_features} features"]
        parts += [f"{self.n_outputs} outputs"] if self.n_outputs is not None else []
        parts += [f"{self.n_classes} classes"] if self.n_classes is not None else []
        split = self.provenance.get("split")
        return f"Measurement{f' ({split})' if split else ''}: {', '.join(parts)}"

    def _notes(self) -> list[tuple[str, str]]:
        regime = [] if self.evidence is None else [("regime", self.evidence.sentence())]
        columns = [("columns", text) for text in told_columns(self.provenance)]
        return [*regime, *columns, *(("warning", text) for text in self.warnings)]

    def __repr__(self) -> str:
        """One line; ``print`` shows the whole table."""
        return (
            f"<Measurement n={self.n_samples} p={self.n_features} C={self.n_outputs} regime={self.regime} "
            f"numbers={len(self.numbers)}>"
        )

    def _repr_html_(self) -> str:
        """Regime and picture in a notebook, with the table folded below."""
        from phiscope.figures.paper.notebook import shown

        sentence = self._header() if self.evidence is None else self.evidence.sentence()
        folded = f"{self._header()}: {len(self.numbers)} numbers"
        return shown(sentence, [self.figure], folded, self.html_numbers(), self.warnings)

    def html_numbers(self) -> str:
        """Every number with its range and direction as an HTML table, everything escaped."""
        return html_table(self._header(), self.numbers, [note for note in self._notes() if note[0] != "warning"])


def as_measurement(value: Any, *, name: str = "measurement") -> Measurement:
    """Read what has to be a measurement.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, Measurement):
        raise InputError(f"{name} is {named_kind(value)}; expected a Measurement, as measure or diagonalize gives")
    return value
