"""Lists what images hold: a CycloneDX bill of materials and a page of licences for each; runs while they are built.

    bill.py IMAGES BILLS

IMAGES has the virtual environment of each image. Both lists come from the metadata of what is installed there.
"""

import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def main() -> int:
    """One pair of files per image."""
    images, bills = map(Path, sys.argv[1:])
    bills.mkdir(parents=True)
    for image in sorted(images.iterdir()):
        python = str(image / "bin" / "python")
        run(
            "cyclonedx-py",
            "environment",
            "--output-reproducible",
            "--output-format=JSON",
            f"--output-file={bills / image.name}.cdx.json",
            python,
        )
        run(
            "pip-licenses",
            f"--python={python}",
            "--format=markdown",
            "--with-urls",
            f"--output-file={bills / image.name}.licenses.md",
        )
    return 0


def run(command: str, *arguments: str) -> None:
    """A tool of this environment; its failure is the build's."""
    subprocess.run([str(BIN / command), *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
