"""A directory that one call keeps to itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from worldsim.files import alone

pytest.importorskip("fcntl", reason="there are no locks here")


def test_a_directory_is_kept_to_one_until_it_ends(tmp_path: Path) -> None:
    kept = tmp_path / "run"
    script = (
        "import sys\nfrom pathlib import Path\nfrom worldsim.files import alone\n"
        "with alone(Path(sys.argv[1])):\n    print(flush=True)\n    input()"
    )
    command = [sys.executable, "-c", script, str(kept)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()  # it has begun
        with pytest.raises(ValueError, match=r"another process is at work in .*run: stop it"), alone(kept):
            pass
        with alone(tmp_path / "another"):
            pass
        other.kill()
    with alone(kept), pytest.raises(ValueError, match="at work"), alone(kept):
        pass
    with alone(kept):
        assert not list(kept.iterdir()), "nothing is left behind"
