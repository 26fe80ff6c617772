"""Where others' numbers differ from the definition: one small script a case.

::

    case.py             a case, its rows, and who agrees
    constant_offset.py  features far from the origin
    last_batch.py       several batches
    shuffling_loader.py a loader that shuffles
    few_samples.py      independent features, few samples
    singular_values.py  RankMe
    repeated_data.py    the same samples several times
    weak_direction.py   class means far apart along one axis and close along another
"""

from judged_parts.cases import (
    constant_offset,
    few_samples,
    last_batch,
    repeated_data,
    shuffling_loader,
    singular_values,
    weak_direction,
)

CASES = (
    constant_offset.CASE,
    last_batch.CASE,
    shuffling_loader.CASE,
    few_samples.CASE,
    singular_values.CASE,
    repeated_data.CASE,
    weak_direction.CASE,
)
BY_KEY = {case.key: case for case in CASES}
