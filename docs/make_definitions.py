"""Write the page of definitions and the file that text commands read, both from the definition rows: ``make docs``."""

from pathlib import Path

from phiscope.glossary.words import FILE
from phiscope.metrics.tables import definitions_file, definitions_page
from phiscope.studies import STUDIES

PAGE = Path(__file__).parent / "reference" / "definitions.md"


def main() -> None:
    """Write both."""
    PAGE.write_text(definitions_page(), encoding="utf-8")
    FILE.write_text(definitions_file({name: study.title for name, study in STUDIES.items()}), encoding="utf-8")
    print(f"written: {PAGE}\nwritten: {FILE}")


if __name__ == "__main__":
    main()
