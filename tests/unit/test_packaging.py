"""What people install: an sdist, the wheel built from it, and the wheel in an empty environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.source import PACKAGES, ROOT, repository_files

_PROBE = """
import importlib.metadata, importlib.util, sys
import perdure.runtime.node
from perdure.runtime.storage import sqlite

assert perdure.__file__.startswith(sys.prefix), perdure.__file__
for name in ("actors", "placement", "runtime", "tests", "examples", "benchmarks"):
    assert importlib.util.find_spec(name) is None, f"{name} can be imported"
print(importlib.metadata.version("perdure"))
"""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel built from it. Of a copy: a build writes beside its source."""
    copy = tmp_path_factory.mktemp("copy")
    for name in (*PACKAGES, "perdure"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=_caches)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(copy / "dist"), str(copy))
    (sdist,) = (copy / "dist").glob("*.tar.gz")
    (wheel,) = (copy / "dist").glob("*.whl")
    return sdist, wheel


@pytest.mark.xdist_group("packaging")
def test_the_wheel_has_every_file_of_the_package_and_no_other(
    distributions: tuple[Path, Path],
) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = [path.relative_to(ROOT) for path in repository_files() if path.suffix != ".md"]
    assert packed == {
        *(path.as_posix() for path in files if path.parts[0] == "perdure"),
        *(f"perdure/{path.as_posix()}" for path in files if path.parts[0] in PACKAGES),
    }


@pytest.mark.xdist_group("packaging")
def test_the_sdist_can_be_built_from(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "perdure/actors/host.py"} <= names


@pytest.mark.xdist_group("packaging")
def test_the_wheel_works_in_an_empty_environment(
    distributions: tuple[Path, Path], tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    _run(
        *(sys.executable, "-m", "pip", "--python", str(python), "install"),
        *("--quiet", "--no-deps", "--no-index", str(distributions[1])),
    )
    _lend_dependencies(python)

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert _run(str(python), "-c", _PROBE).strip() == project["version"]
    assert "serve" in _run(str(environment / "bin" / "perdure"), "--help")


def _lend_dependencies(python: Path) -> None:
    """Let the environment find what this one has installed, behind what it has itself.

    By a `.pth` file: those of the directory that it names are not read, so that nothing of an
    editable install comes with it.
    """
    query = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(_run(str(python), "-c", query).strip())
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "lent.pth").write_text("\n".join(sorted(lent)) + "\n")


def _caches(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__"}


def _run(*command: str) -> str:
    """From `/` and without the caller's environment, so that nothing is found by accident."""
    done = subprocess.run(
        command, cwd="/", env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
