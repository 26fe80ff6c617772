"""Numbers in sentences: on the side of the threshold that the sentence says."""

import pytest

from phiscope.glossary.digits import beside


@pytest.mark.parametrize("threshold", [0.2, 0.5, 2.0, 0.99, 1e-4])
@pytest.mark.parametrize("apart", [0.3, 1e-3, -1e-3, 1e-6, -1e-6, 1e-12, -1e-12, 2.3e-16, -2.3e-16, 0.0])
def test_what_is_printed_is_on_the_side_of_the_number(threshold, apart):
    value = threshold * (1 + apart)
    said = float(beside(value, threshold))
    assert (said > threshold, said < threshold) == (value > threshold, value < threshold)
    assert abs(said - value) <= 5e-3 * abs(value)


def test_digits_are_few_where_they_need_not_be_many():
    assert beside(1 / 3, 0.2) == "0.333"
    assert beside(0.99876, 0.99, 4) == "0.9988"
    assert beside(None, 0.2) == "not known"
