"""Numbers as a table: nothing measured is missing, and every reason is given."""

import phiscope
from cases import CASES
from phiscope.metrics import SCALARS


def test_table_shows_every_number_and_reason():
    for case in ("n > p", "features alone"):
        m = phiscope.diagonalize(**CASES[case])
        text, page = str(m), m._repr_html_()
        for name in m.to_dict():
            assert name in text, name
            assert name in page or SCALARS[name].title in page, name
        for reason in set(m.absent.values()):
            assert reason in text, reason
        assert all(warning in text for warning in m.warnings)
