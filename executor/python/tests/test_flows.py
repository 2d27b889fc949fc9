"""Complete flows with `dagyo up`: all services, executors as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .up import Up, described


def names(*values: str) -> dict[str, Any]:
    return {"const": {"type": "utf8-string", "values": list(values)}}


def test_python_and_go_in_one_flow(up: Up) -> None:
    done = up.run({
        "nodes": {
            "names": {"progdef": "source"},  # Go
            "hello": {"progdef": "greet_py"},
            "twice": {"progdef": "greet"},  # Go
            "tee": {"progdef": "tee"},
            "void": {"progdef": "void_sink"},  # Go
        },
        "edges": [
            {"from": "names.name", "to": "hello.name"},
            {"from": "hello.greeting", "to": "twice.name"},
            {"from": "twice.greeting", "to": "tee.in"},
            {"from": "tee.a", "to": "void.in"},
        ],
        "outputs": {"out": "tee.b"},
    })  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines
    assert all(line.startswith("hello hello ") for line in lines)


def test_sealed_edges(sealed_up: Up) -> None:
    done = sealed_up.run({
        "nodes": {
            "names": {"progdef": "source"},  # Go
            "hello": {"progdef": "greet_py"},
            "again": {"progdef": "greet_py"},
            "constant": {"progdef": "greet_py", "with": {"name": ["Zoe"]}},
            "twice": {"progdef": "greet"},  # Go
        },
        "edges": [
            {"from": "names.name", "to": "hello.name"},
            {"from": "hello.greeting", "to": "again.name"},
            {"from": "again.greeting", "to": "twice.name"},
        ],
        "outputs": {"out": "twice.greeting", "one": "constant.greeting"},
    })  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 27
    assert "one\thello Zoe" in lines
    assert "out\thello hello hello Zach" in lines


def test_an_empty_input(up: Up) -> None:
    done = up.run({
        "nodes": {"names": names(), "hello": {"progdef": "greet_py"}},
        "edges": [{"from": "names.out", "to": "hello.name"}],
        "outputs": {"out": "hello.greeting"},
    })  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_a_panic_is_the_verdict(up: Up) -> None:
    done = up.run({
        "nodes": {"names": names("good", "bad"), "f": {"progdef": "fail"}},
        "edges": [{"from": "names.out", "to": "f.in"}],
    })  # fmt: skip
    assert done.returncode == 4
    assert "ValueError: cannot take 'bad'" in done.stderr


def test_head_ends_an_endless_source(up: Up) -> None:
    done = up.run({
        "nodes": {"names": names("a", "b", "c"), "h": {"progdef": "head"}},
        "edges": [{"from": "names.out", "to": "h.in"}],
        "outputs": {"out": "h.out"},
    })  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "a\n")


def test_a_function_without_async(up: Up) -> None:
    done = up.run({
        "nodes": {"names": names("a", "b"), "s": {"progdef": "shout"}},
        "edges": [{"from": "names.out", "to": "s.in"}],
        "outputs": {"out": "s.out"},
    })  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "A\nB\n"), done.stderr


PROGRAM = """
import dagyo

@dagyo.progdef(name="edited", outputs={"out": dagyo.String})
async def edited(out: dagyo.Out[str]) -> None:
    await out.send("%s")

dagyo.main(edited)
"""


def test_new_code_is_run(up: Up, tmp_path: Path) -> None:
    """Describe, apply, run; edit, describe, apply, run: the second run uses the new code."""
    script, outputs, revisions = tmp_path / "edited.py", [], set()
    for text in ("old", "new"):
        script.write_text(PROGRAM % text)
        [document] = described(script, up.folder)
        applied = up.dagyo("progdef", "apply", "-o", "json", up.write("edited.json", document))
        assert applied.returncode == 0, applied.stderr
        revisions.add(json.loads(applied.stdout)["revision"])
        done = up.run({"nodes": {"e": {"progdef": "edited"}}, "outputs": {"out": "e.out"}})
        outputs.append(done.stdout)
    assert outputs == ["old\n", "new\n"]
    assert len(revisions) == 2


def test_apply_accepts_the_output_of_describe(up: Up, tmp_path: Path) -> None:
    script, stream = tmp_path / "two.py", tmp_path / "two.yaml"
    one = PROGRAM.replace("dagyo.main(edited)", "") % "x"
    script.write_text(one + one.replace("edited", "edited_too") + "dagyo.main(edited, edited_too)")
    stream.write_text(
        subprocess.run(
            [sys.executable, str(script), "describe"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        ).stdout
    )
    applied = up.dagyo("progdef", "apply", str(stream))
    assert applied.returncode == 0, applied.stderr
    for name in ("edited", "edited_too"):
        assert up.dagyo("progdef", "show", name).returncode == 0


def test_cancel(up: Up) -> None:
    submit_and_cancel(up, "pour", "swallow")


def test_cancel_functions_without_async(up: Up) -> None:
    submit_and_cancel(up, "sync_pour", "sync_swallow")


def submit_and_cancel(up: Up, source: str, sink: str) -> None:
    flow = {
        "nodes": {"p": {"progdef": source}, "s": {"progdef": sink}},
        "edges": [{"from": "p.out", "to": "s.in"}],
    }
    submitted = up.dagyo("submit", "-o", "json", up.write("flow.json", flow))
    assert submitted.returncode == 0, submitted.stderr
    identity = json.loads(submitted.stdout.splitlines()[0])["flow"]
    assert up.dagyo("cancel", identity).returncode == 0
    shown = up.dagyo("watch", identity)
    assert shown.returncode == 5, shown.stderr
