import functools
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from perdure.runtime.workflow.signature import code_hash

SOURCE = """
def wf(ctx, kind):
    def inner(x): return [i for i in {{3, 1, 2}} if kind in {{"a", "b", "c", None, 1.5, (1, "z")}}]
    {comment}
    return inner(lambda y: y + {constant})
"""


def hash_of(constant: int = 1, comment: str = "") -> str:
    names: dict[str, Any] = {}
    exec(SOURCE.format(constant=constant, comment=comment), names)
    return code_hash(names["wf"])


def test_the_code_hash_sees_the_code_and_not_its_lines() -> None:
    assert hash_of() == hash_of(comment="# a comment\n\n")
    assert hash_of() != hash_of(constant=2)


def test_a_wrapper_has_the_code_hash_of_what_it_wraps() -> None:
    def inner(ctx: Any) -> int:
        return 1

    @functools.wraps(inner)
    def wrapper(*args: Any) -> Any:
        return inner(*args)

    assert code_hash(wrapper) == code_hash(functools.partial(inner)) == code_hash(inner)


def test_what_has_no_bytecode_has_no_code_hash() -> None:
    assert code_hash(abs) == ""


def test_the_code_hash_is_the_same_in_every_process(tmp_path: Path) -> None:
    script = tmp_path / "hashes.py"
    script.write_text(
        "from perdure.runtime.workflow.signature import code_hash\n"
        + textwrap.dedent(SOURCE.format(constant=1, comment=""))
        + "print(code_hash(wf))\n"
    )
    found = {
        subprocess.run(
            [sys.executable, str(script)],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert len(found.pop()) == 16
