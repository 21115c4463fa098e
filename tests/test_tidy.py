"""The house rules that a machine can check: direction of imports, purity, size, names.

Each test reads the source and lists every place that breaks its rule.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
from pathlib import Path

import perdure
from tests.support.source import PACKAGES, ROOT, Source, functions, repository_files, sources

TOP_LEVEL = {
    *("runtime", "actors", "placement", "perdure", "tests", "benchmarks", "examples", "docs"),
    *(".ci", ".gitignore", "Makefile", "pyproject.toml"),
    *("README.md", "CHANGELOG.md", "LICENSE"),
}
FACADE = {"__init__.py", "py.typed", "dapr", "runtime", "actors", "placement"}
MAY_IMPORT = {
    "actors": {"actors"},
    "placement": {"placement", "actors"},
    "runtime": {"runtime", "placement", "actors"},
}

PURE = ("actors/", "placement/", "runtime/workflow/")
IMPURE_MODULES = {"time", "uuid", "secrets", "threading", "socket"}
IMPURE_CALLS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
NEVER_IMPORTED = {"pickle", "marshal", "shelve"}
AT_HOME = {
    "aiohttp": ("runtime/api/", "runtime/client.py"),
    "yarl": ("runtime/api/", "runtime/client.py"),
    "sqlite3": ("runtime/storage/",),
    "aiosqlite": ("runtime/storage/",),
    "click": ("runtime/cli/",),
    "grpc": ("runtime/rpc/",),
    "google": ("runtime/rpc/",),
    "opentelemetry": ("runtime/tracing.py",),
}
"""Where a module may be imported, and nowhere else."""

CATCHES_ALL = {
    "actors/turns.py": "a turn",
    "runtime/workflow/activities/functions.py": "an activity",
    "runtime/workflow/delivery.py": "a turn, which takes an answer",
    "runtime/api/app.py": "an HTTP handler",
    "runtime/rpc/calls.py": "a gRPC handler",
    "runtime/api/peers/link.py": "the node's receiver of messages",
    "runtime/workflow/generator_style.py": "the user's workflow code",
    "runtime/workflow/loop.py": "the user's callbacks, and `finally` blocks of a run given up",
    "runtime/cli/load.py": "the user's module, when it is imported",
}
"""Where `except Exception` stands, and what it is there for."""

NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
POSITIONAL_MAX = 7


def pure_sources() -> list[Source]:
    return [source for source in sources() if source.path.startswith(PURE)]


def told(broken: list[str]) -> str:
    return "\n".join(["", *broken])


# ---- what may import what


def test_packages_depend_downwards_only() -> None:
    broken = [
        source.at(line, f"{source.package} must not import {name}")
        for source in sources()
        for line, name in source.imports
        if name.startswith("perdure.") and name.split(".")[1] not in MAY_IMPORT[source.package]
    ]
    assert not broken, told(broken)


def test_the_package_is_imported_by_its_parts_and_never_by_its_facade() -> None:
    broken = [
        source.at(line, f"imports {name}")
        for source in sources()
        for line, name in source.imports
        if name == "perdure" or name.partition(".")[0] in PACKAGES
    ]
    assert not broken, told(broken)


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    modules = {source.module: source for source in sources()}
    graph = {
        name: {_module_of(imported, modules) for _, imported in source.imports} - {None, name}
        for name, source in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for imported in sorted(filter(None, graph[name])):
                visit(imported, [*way, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])


def _module_of(imported: str, modules: dict[str, Source]) -> str | None:
    """The module of ours that `from a.b import c` opens: `a.b.c`, or `a.b`."""
    for name in (imported, imported.rpartition(".")[0]):
        if name in modules:
            return name
    return None


def test_the_packages_of_the_map_import_nothing_in_their_init() -> None:
    broken = [
        source.at(line, f"imports {name}")
        for source in sources()
        if source.is_package
        for line, name in source.imports
    ]
    assert not broken, told(broken)


def test_what_is_imported_from_outside_is_declared_as_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [name for names in project["optional-dependencies"].values() for name in names]
    declared = {
        re.split(r"[<>=!~\[ ]", name)[0].replace("-", "_")
        for name in [*project["dependencies"], *optional]
    }
    # yarl is aiohttp's own type of URLs, part of its interface.
    # The packages grpcio, protobuf and opentelemetry-api have modules of other names.
    known = {
        *sys.stdlib_module_names,
        *declared,
        "yarl",
        "perdure",
        "grpc",
        "google",
        "opentelemetry",
    }
    broken = [
        source.at(line, f"imports {name}")
        for source in sources()
        for line, name in source.imports
        if name.partition(".")[0] not in known
    ]
    assert not broken, told(broken)


def test_edges_are_touched_in_one_place_each() -> None:
    broken = [
        source.at(line, f"{name} belongs into {', '.join(AT_HOME[name.partition('.')[0]])}")
        for source in sources()
        for line, name in source.imports
        if not source.path.startswith(AT_HOME.get(name.partition(".")[0], ("",)))
    ]
    assert not broken, told(broken)


# ---- purity


def test_time_chance_and_ids_come_from_env() -> None:
    broken = [
        source.at(line, f"imports {name}")
        for source in pure_sources()
        for line, name in source.imports
        if name.partition(".")[0] in IMPURE_MODULES
    ]
    for source in pure_sources():
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Attribute):
                continue
            used = ".".join(ast.unparse(node).split(".")[-2:])
            is_chance = isinstance(node.value, ast.Name) and node.value.id == "random"
            if used in IMPURE_CALLS or (is_chance and node.attr != "Random"):
                broken.append(source.at(node.lineno, f"uses {used}"))
    broken += [
        source.at(line, f"imports {name}")
        for source in pure_sources()
        for line, name in source.imports
        if name.startswith("random.") and name != "random.Random"
    ]
    assert not broken, told(broken)


def test_nothing_stored_is_ever_executed() -> None:
    broken = [
        source.at(line, f"imports {name}")
        for source in sources()
        for line, name in source.imports
        if name.partition(".")[0] in NEVER_IMPORTED
    ]
    broken += [
        source.at(node.lineno, f"calls {node.func.id}")
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("eval", "exec")
    ]
    assert not broken, told(broken)


# ---- errors


def test_only_three_kinds_of_places_catch_every_exception() -> None:
    broken = []
    for source in sources():
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = "everything" if node.type is None else ast.unparse(node.type)
            names = set(re.findall(r"\w+", caught))
            if names & {"everything", "BaseException"}:
                broken.append(source.at(node.lineno, f"catches {caught}"))
            if "Exception" in names and source.path not in CATCHES_ALL:
                broken.append(source.at(node.lineno, f"catches {caught}: name what it expects"))
    assert not broken, told(broken)


def test_the_list_of_places_that_catch_everything_is_current() -> None:
    missing = [path for path in CATCHES_ALL if "Exception" not in (ROOT / path).read_text()]
    assert not missing


# ---- words and sizes


def test_every_module_says_what_it_is_and_of_which_kind() -> None:
    broken = []
    for source in sources():
        about = ast.get_docstring(source.tree)
        if not about:
            broken.append(source.at(1, "has no docstring"))
        elif not source.is_package and not re.search(r"\b(value|owner|edge)\b", about):
            broken.append(source.at(1, "does not say whether it is value, owner or edge"))
    assert not broken, told(broken)


def test_names_say_what_is_inside() -> None:
    broken = [source.path for source in sources() if NAMELESS & set(source.path[:-3].split("/"))]
    assert not broken, told(broken)


def test_files_have_one_reason_to_be_opened() -> None:
    folders = (*PACKAGES, "examples", "benchmarks", "tests")
    lengths = [(source, source.text.count("\n")) for source in sources(*folders)]
    broken = [
        source.at(lines, f"{lines} lines, at most {FILE_LINES_MAX}")
        for source, lines in lengths
        if lines > FILE_LINES_MAX
    ]
    assert not broken, told(broken)


def test_functions_fit_on_a_screen() -> None:
    broken = []
    for source in sources(*PACKAGES, "examples", "benchmarks"):
        for function in functions(source):
            assert function.end_lineno is not None
            lines = function.end_lineno - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                broken.append(source.at(function.lineno, f"{function.name} has {lines} lines"))
    assert not broken, told(broken)


def test_functions_take_few_positional_parameters() -> None:
    broken = []
    for source in sources(*PACKAGES, "examples", "benchmarks"):
        for function in functions(source):
            names = [name.arg for name in (*function.args.posonlyargs, *function.args.args)]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > POSITIONAL_MAX:
                broken.append(source.at(function.lineno, f"{function.name} takes {count}"))
    assert not broken, told(broken)


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
    broken = [
        f"{path}:{number}: {line.strip()}"
        for path in repository_files()
        if path.suffix in (".py", ".md", ".toml", ".sql", ".sh", "")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if later.search(line)
    ]
    assert not broken, told(broken)


# ---- the repository and its facade


def test_the_top_level_holds_what_belongs_there() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in repository_files()}
    assert found == TOP_LEVEL


def test_the_facade_is_names_and_three_links() -> None:
    facade = ROOT / "perdure"
    assert {path.name for path in facade.iterdir()} - {"__pycache__"} == FACADE
    for name in PACKAGES:
        assert (facade / name).is_symlink()
        assert (facade / name).readlink() == Path("..") / name


def test_public_names_are_sorted_and_there() -> None:
    assert perdure.__all__ == sorted(perdure.__all__)
    for name in perdure.__all__:
        getattr(perdure, name)


def test_public_names_have_docstrings_of_their_own() -> None:
    broken = []
    for name in perdure.__all__:
        value = getattr(perdure, name)
        about = inspect.getdoc(value) if callable(value) else "a value"
        # A dataclass without a docstring is given its signature as one.
        if not about or about.startswith(f"{name}("):
            broken.append(name)
    assert not broken, told(broken)


def test_public_names_are_explained_in_the_documentation() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text() for page in pages)
    missing = [name for name in perdure.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing, told(missing)
