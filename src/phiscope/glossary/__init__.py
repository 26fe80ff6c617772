"""What every number and word means, by name, symbol and other words for it; loads no library.

::

    definition.py  what a definition row is, and what a number may be invariant to
    digits.py      how many digits a number is printed with
    letters.py     what each letter of a formula stands for
    words.py       from a word to what it may mean; the generated file of all rows

``definitions.json`` holds every row of ``phiscope.metrics`` and every study's title, so that commands that only print
text need neither NumPy nor torch. ``make docs`` writes it anew.
"""

from phiscope.glossary.definition import TRANSFORMATIONS as TRANSFORMATIONS
from phiscope.glossary.definition import Definition as Definition
from phiscope.glossary.definition import Term as Term
from phiscope.glossary.definition import Transformation as Transformation
