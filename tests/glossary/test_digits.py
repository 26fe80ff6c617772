"""Numbers in sentences: on the side of the threshold that the sentence says."""

import pytest

from phiscope.glossary.digits import beside, in_tex


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


def test_powers_of_ten_are_set_as_such():
    said = [in_tex(value) for value in (0.5, -2e-7, 123.0, 98765.0)]
    assert said == ["0.5", r"-2 \times 10^{-7}", "123", r"9.88 \times 10^{4}"]
    assert in_tex(98765.0, whole=True) == "98765"
