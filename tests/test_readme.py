"""The README says nothing that does not run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_python_block_runs(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    subprocess.run([sys.executable, "-c", block], check=True, cwd=tmp_path)


def test_commands_and_make_targets_exist() -> None:
    usage = subprocess.run([sys.executable, "-m", "worldsim.cli", "--help"], capture_output=True, text=True).stdout
    (commands,) = re.findall(r"\{([\w,]+)\}", usage)
    assert set(re.findall(r"`worldsim (\w+)", README)) == set(commands.split(","))
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", README, re.MULTILINE)) <= set(targets)


def test_files_that_it_links_exist() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert [name for name in linked if not (ROOT / name).exists()] == []
