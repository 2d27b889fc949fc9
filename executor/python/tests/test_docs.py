"""The examples of docs/python.md: each is checked and run, and prints the text behind it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .gateway import Gate
from .helpers import ROOT
from .test_builder import PROGDEFS, check


def test_the_examples_run(gate: Gate, tmp_path: Path) -> None:
    text = (ROOT / "docs/python.md").read_text()
    examples = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", text, re.DOTALL)
    assert len(examples) == text.count("```python")
    assert len(examples) > 5
    (tmp_path / "progdefs.py").write_text(PROGDEFS.read_text())
    names = [f"example{n}.py" for n in range(len(examples))]
    for name, (program, _) in zip(names, examples, strict=True):
        (tmp_path / name).write_text(program)
    assert check(tmp_path, *names) == []
    for name, (_, printed) in zip(names, examples, strict=True):
        out = subprocess.run(
            [sys.executable, name], cwd=tmp_path, env=gate.env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert (out.stdout, out.stderr) == (printed, "")


def test_what_mypy_says_in_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs/python.md").read_text()
    found = re.search(r"\n# (first\.out\.out\.connect.*)\n# (error: .*)\n", text)
    assert found is not None
    (tmp_path / "progdefs.py").write_text(PROGDEFS.read_text())
    (tmp_path / "wrong.py").write_text(
        "import dagyo, progdefs\nflow = dagyo.Flow()\n"
        'first = progdefs.Head(flow, "f", in_=progdefs.Counter(flow, "n").out.number)\n'
        f'double = progdefs.Jq(flow, "d")\n{found[1]}\n'
    )
    [said] = check(tmp_path, "wrong.py")
    assert f"{found[2]}  [" in said
