"""Sums of products made where the features are: a GPU gets no copy of them, and what comes back is p x p."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from phiscope.moments.pilots import Pilots
from phiscope.moments.precision import has_double, plain_products
from phiscope.moments.scatter import Scatter, Source
from phiscope.typing import FloatArray, IntArray

MOST_INDICATORS = 256
"""Up to so many groups are summed by a product with their indicators, which is the same in every run."""

BLOCK_BYTES = 2**27
"""Rows are widened to the precision of the products so many bytes at a time, never as a whole."""

Sums = tuple[Tensor, Tensor, Tensor]
"""Scatter (d, d), sum of rows (K, d) and of squared lengths (K,) of the groups."""


class DeviceScatter(Scatter):
    """A scatter whose products and sums stay on a torch device until they are read.

    Products are float64 or float32 as the pilots say, without TF32. Sums are float64; where the device has no
    float64, each block's sums are added here.

    Args:
        pilots: shared by all scatters that are to be added up.
        device: where the rows are.
    """

    def __init__(self, pilots: Pilots, device: torch.device) -> None:
        super().__init__(pilots)
        self.device = device
        self._double = has_double(device)
        self._dtype = torch.float64 if pilots.dtype == np.float64 else torch.float32
        self._sums: Sums | None = None
        self._pilots: dict[tuple[torch.dtype, torch.device], tuple[int, Tensor]] = {}

    def add(self, sources: Sequence[Source], groups: IntArray, weights: FloatArray) -> None:
        """Add one block of rows whose features are tensors on the device; see `Scatter.add`."""
        self._prepare(sources, groups)
        self._count(groups, weights)
        members = torch.from_numpy(groups).to(self.device)
        uneven = None if (weights == 1.0).all() else torch.from_numpy(weights).to(self._dtype).to(self.device)
        start = 0
        with plain_products(self.device):
            for parts, chosen in sources:
                pieces = [torch.as_tensor(part[chosen]) for part in parts]
                length = len(pieces[0])
                step = max(BLOCK_BYTES // (8 * self.sums.shape[1]), 1)
                for low in range(0, length, step):
                    here = slice(start + low, start + min(low + step, length))
                    rows = self._shifted([piece[low : low + step] for piece in pieces], members[here])
                    self._add_products(rows, members[here], None if uneven is None else uneven[here])
                start += length

    def _shifted(self, pieces: Sequence[Tensor], members: Tensor) -> Tensor:
        """Joined rows minus their pilots, on the device and in the precision of the products."""
        bounds = np.cumsum([0, *(piece.shape[1] for piece in pieces)]).tolist()
        shifted = [
            self._minus_pilots(piece.detach(), slice(*columns), members)
            for piece, columns in zip(pieces, pairwise(bounds), strict=True)
        ]
        return shifted[0] if len(shifted) == 1 else torch.cat(shifted, dim=1)

    def _minus_pilots(self, piece: Tensor, columns: slice, members: Tensor) -> Tensor:
        """Subtracted in the wider of the two types, of these columns alone: float64 targets widen no features."""
        wide = torch.promote_types(self._dtype, piece.dtype)
        # float64 values beside the features come from here, and stay here until they are narrow where they have to.
        place = self.device if self._double or wide != torch.float64 else piece.device
        rows = piece.to(place).to(wide)
        if self.pilots.shifted:
            pilots = self._known_pilots(wide, place)[:, columns]
            rows = rows - (pilots[0] if self.pilots.uniform else pilots[members.to(place)])
        return rows.to(self._dtype).to(self.device)

    def _known_pilots(self, dtype: torch.dtype, place: torch.device) -> Tensor:
        known = int(self.pilots.known.sum())
        kept = self._pilots.get((dtype, place))
        if kept is None or kept[0] != known:
            kept = self._pilots[dtype, place] = known, torch.from_numpy(self.pilots.rows).to(dtype).to(place)
        return kept[1]

    def _add_products(self, rows: Tensor, members: Tensor, weights: Tensor | None) -> None:
        lengths = torch.linalg.vecdot(rows[:, : self.pilots.layout[0]], rows[:, : self.pilots.layout[0]])
        if weights is None:
            weighted, rooted = rows, rows
        else:
            weighted, rooted, lengths = rows * weights[:, None], rows * weights.sqrt()[:, None], lengths * weights
        product = rooted.T @ rooted
        sums, squares = self._by_group(weighted, lengths, members)
        if self._double:
            self._keep(product.double(), sums.double(), squares.double())
        else:
            self.scatter += product.cpu().numpy()
            self.sums += sums.cpu().numpy()
            self.squares += squares.cpu().numpy()

    def _by_group(self, rows: Tensor, lengths: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        n_groups = len(self.counts)
        if n_groups == 1:
            return rows.sum(dim=0)[None, :], lengths.sum()[None]
        if n_groups <= MOST_INDICATORS:
            indicators = torch.nn.functional.one_hot(members, n_groups).to(rows.dtype).T
            return indicators @ rows, indicators @ lengths
        sums = torch.zeros(n_groups, rows.shape[1], dtype=rows.dtype, device=self.device)
        squares = torch.zeros(n_groups, dtype=rows.dtype, device=self.device)
        return sums.index_add_(0, members, rows), squares.index_add_(0, members, lengths)

    def _keep(self, product: Tensor, sums: Tensor, squares: Tensor) -> None:
        if self._sums is None:
            self._sums = product, sums, squares
            return
        kept, kept_sums, kept_squares = self._sums
        missing = len(sums) - len(kept_sums)
        if missing > 0:
            kept_sums = torch.nn.functional.pad(kept_sums, (0, 0, 0, missing))
            kept_squares = torch.nn.functional.pad(kept_squares, (0, missing))
        self._sums = kept.add_(product), kept_sums.add_(sums), kept_squares.add_(squares)

    def settle(self) -> None:
        """Bring the sums of the device here, once for each time they are read."""
        if self._sums is not None:
            product, sums, squares = (part.cpu().numpy() for part in self._sums)
            self._sums = None
            self.scatter += product
            self.sums[: len(sums)] += sums
            self.squares[: len(squares)] += squares
