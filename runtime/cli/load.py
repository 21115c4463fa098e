"""From the APP of the command line to the user's workflows. An edge module: it runs user code.

APP is a file (`app.py`, `shop/orders.py`) or a module (`shop.orders`), and may name an object in it
(`shop.orders:registry`).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from perdure.runtime.cli.exits import ExitCode
from perdure.runtime.workflow.registry import REGISTRY, Registry, RegistryError
from perdure.runtime.workflow.source import is_engine_code


class LoadError(Exception):
    """The app cannot be served; the text says why and what to do."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def load_app(target: str, *, activities_suffice: bool = False) -> Registry:
    """Import APP and return what it offers. Raises `LoadError`.

    `activities_suffice` if workflows may be in workers.
    """
    place, _, attribute = target.partition(":")
    module = _from_file(Path(place)) if _is_path(place) else _from_name(place)
    app = _attribute_of(module, attribute) if attribute else module
    try:
        return Registry.of(app, activities_suffice=activities_suffice)
    except (RegistryError, TypeError) as error:
        raise LoadError(f"cannot serve {target}: {error}") from error


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or place in ("", ".", "..") or Path(place).is_dir()


def _from_file(path: Path) -> ModuleType:
    """Import a file as `python FILE` would see it: its directory is on the path.

    A file of a package is imported as part of it, so that its relative imports work.
    """
    if not path.is_file():
        raise LoadError(_no_file(path))
    if path.suffix != ".py":
        raise LoadError(f"{path} is not a Python file; APP is a .py file or a module")
    root, parts = path.resolve().parent, [path.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    _put_on_path(root)
    if len(parts) > 1:
        return _imported(".".join(parts), path)
    # Loaded from exactly this file: by its name alone, another module of that name could be found.
    name = path.stem if path.stem not in _taken_names() else f"{path.stem}__app"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    # Anything may be raised here: importing is running the user's code.
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _import_failed(error, str(path)) from error
    return module


def _from_name(name: str) -> ModuleType:
    _put_on_path(Path.cwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise LoadError(f"{name!r} is neither a .py file nor the name of a module")
    return _imported(name, None)


def _imported(name: str, path: Path | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Of the module itself or a package above it; a module that it imports is another matter.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise LoadError(_no_module(name, error.name)) from error
        raise _import_failed(error, str(path or name)) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(error, str(path or name)) from error


def _attribute_of(module: ModuleType, attribute: str) -> Any:
    found = vars(module).get(attribute)
    if found is None:
        near = difflib.get_close_matches(attribute, vars(module), n=1)
        step = f"did you mean {near[0]}?" if near else "name one that is defined in it"
        raise LoadError(f"module '{module.__name__}' has no '{attribute}'; {step}")
    return getattr(found, REGISTRY, found)


def _put_on_path(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _taken_names() -> Iterable[str]:
    return {*sys.modules, *sys.stdlib_module_names}


def _no_file(path: Path) -> str:
    if path.is_dir():
        files = sorted(file.name for file in path.glob("*.py"))
        step = f"; name a file in it: {', '.join(files[:5])}" if files else ", without a .py file"
        return f"{path} is a directory{step}"
    if not path.parent.is_dir():
        return f"no such file: {path} (there is no directory {path.parent})"
    files = sorted(file.name for file in path.parent.glob("*.py"))
    near = difflib.get_close_matches(path.name, files, n=1)
    if near:
        return f"no such file: {path}; did you mean {path.parent / near[0]}?"
    where = path.parent.resolve()
    return f"no such file: {path}; the .py files in {where} are: {', '.join(files) or 'none'}"


def _no_module(name: str, missing: str) -> str:
    package, _, last = missing.rpartition(".")
    directory = Path.cwd().joinpath(*package.split(".")) if package else Path.cwd()
    names = [file.stem for file in directory.glob("*.py")]
    names += [file.parent.name for file in directory.glob("*/__init__.py")]
    near = difflib.get_close_matches(last, names, n=1)
    proposal = ".".join(filter(None, (package, near[0]))) if near else ""
    step = (
        f"did you mean {proposal}?" if near else f"searched in {Path.cwd()} and Python's own path"
    )
    wanted = f"'{missing}'" if missing == name else f"'{missing}' (of '{name}')"
    return f"no module {wanted}; {step}"


def _import_failed(error: BaseException, shown: str) -> LoadError:
    """The user's own frames and one line that sums up: our frames would only hide theirs."""
    if isinstance(error, SystemExit):
        return LoadError(
            f"{shown} ended the process ({error}) while it was imported; keep what runs a "
            'program under `if __name__ == "__main__":`',
            ExitCode.FAILED,
        )
    told = traceback.TracebackException(
        type(error), error, _own_frames(error.__traceback__), compact=True
    )
    # What refuses a decorated function is ours, and the function's own line is the one to look at.
    told.stack = traceback.StackSummary.from_list(
        frame for frame in told.stack if not is_engine_code(frame.filename)
    )
    summary = traceback.format_exception_only(error)[-1].strip()
    text = "".join(told.format()).rstrip().removesuffix(summary)
    return LoadError(f"{text}{shown} cannot be imported: {summary}", ExitCode.FAILED)


def _own_frames(frame: TracebackType | None) -> TracebackType | None:
    """Leave out the leading frames: ours, and those of the import system."""
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if file not in (__file__, importlib.__file__) and not file.startswith("<frozen importlib"):
            return frame
        frame = frame.tb_next
    return None
