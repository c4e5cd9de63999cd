"""Executes the notebooks beside it and fails where one does, or where its text differs from what is committed.

run.py FOLDER           executed copies go into FOLDER
run.py FOLDER --write   and over the committed ones

Only the bytes of figures may differ, which are another machine's.
"""

import difflib
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def executed(path):
    """The notebook with new outputs and nothing of the machine or the hour."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, record_timing=False, extra_arguments=["--log-level=ERROR"], resources={"metadata": {"path": HERE}}).execute()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def text(notebook):
    """Everything that a reader sees of it but pictures, line by line."""
    lines = []
    for cell in notebook.cells:
        lines += cell.source.splitlines()
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            shown = output.get("text") or data.get("text/markdown") or ("a figure" if "image/png" in data else data.get("text/plain", ""))
            lines += shown.splitlines()
    return lines


def main():
    folder, write = Path(sys.argv[1]), "--write" in sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    stale = []
    for path in sorted(HERE.glob("*.ipynb")):
        start = time.monotonic()
        new = executed(path)
        nbformat.write(new, folder / path.name)
        print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)
        difference = list(difflib.unified_diff(text(nbformat.read(path, as_version=4)), text(new), "committed", "computed", lineterm="", n=1))
        if write:
            nbformat.write(new, path)
        elif difference:
            stale.append(path.name)
            print("\n".join(difference))
    if stale:
        sys.exit(f"{', '.join(stale)}: what is committed is not what comes out; see whether it should, then `make notebooks NOTEBOOKS_WRITE=1`")


main()
