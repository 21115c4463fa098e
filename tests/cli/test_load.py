"""APP on the command line: how it is found, and what is said if it cannot be served."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from perdure.runtime.cli.load import LoadError, load_app
from perdure.runtime.workflow.registry import Registry

APP = """
from perdure.runtime.workflow.registry import activity, workflow

@activity
def pay(ctx, amount): ...

@workflow
def order(ctx, amount):
    yield ctx.call_activity(pay, input=amount)
"""


def names(registry: Registry) -> list[str]:
    return [definition.name for definition in registry]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


def test_a_file_is_an_app(place: Path) -> None:
    write(place / "app.py", APP)
    assert names(load_app("app.py")) == ["order", "pay"]


def test_activities_suffice_where_workflows_may_be_in_workers(place: Path) -> None:
    write(place / "app.py", APP.partition("@workflow")[0])
    assert names(load_app("app.py", activities_suffice=True)) == ["pay"]
    with pytest.raises(LoadError, match="no workflows in module"):
        load_app("app.py")
    write(place / "empty.py", "")
    with pytest.raises(LoadError, match="no workflows in module 'empty"):
        load_app("empty.py", activities_suffice=True)


def test_a_file_in_a_directory_sees_its_neighbours(place: Path) -> None:
    write(place / "shop" / "prices.py", "PRICE = 3")
    write(place / "shop" / "app.py", "from prices import PRICE\n" + APP)
    assert names(load_app("shop/app.py")) == ["order", "pay"]


def test_a_file_of_a_package_may_import_relatively(place: Path) -> None:
    write(place / "store_pkg" / "__init__.py", "")
    write(place / "store_pkg" / "prices.py", "PRICE = 3")
    write(place / "store_pkg" / "app.py", "from .prices import PRICE\n" + APP)
    assert names(load_app("store_pkg/app.py")) == ["order", "pay"]
    assert "store_pkg.app" in sys.modules


def test_a_module_is_found_in_the_working_directory(place: Path) -> None:
    write(place / "store2" / "orders.py", APP)
    assert names(load_app("store2.orders")) == ["order", "pay"]


def test_a_file_with_the_name_of_a_library_is_still_that_file(place: Path) -> None:
    write(place / "json.py", APP)
    assert names(load_app("json.py")) == ["order", "pay"]
    assert hasattr(sys.modules["json"], "loads")


def test_an_object_of_a_module_may_be_named(place: Path) -> None:
    more = """
    from perdure.runtime.workflow.registry import Registry
    chosen = Registry()
    chosen.add_workflow(order, name="chosen-order")
    """
    write(place / "app3.py", APP + dedent(more))
    assert names(load_app("app3.py:chosen")) == ["chosen-order"]


def test_a_misspelt_file_is_answered_with_the_nearest(place: Path) -> None:
    write(place / "orders.py", APP)
    with pytest.raises(LoadError, match=r"no such file: order\.py; did you mean orders\.py\?"):
        load_app("order.py")


def test_a_missing_file_is_answered_with_those_that_are_there(place: Path) -> None:
    write(place / "zebra.py", APP)
    with pytest.raises(LoadError, match=r"the \.py files in .* are: zebra\.py"):
        load_app("app.py")


def test_a_missing_directory_is_named(place: Path) -> None:
    with pytest.raises(LoadError, match="there is no directory shop"):
        load_app("shop/app.py")


@pytest.mark.parametrize("target", ["shop", "shop/", "."])
def test_a_directory_is_no_app(place: Path, target: str) -> None:
    write(place / "shop" / "app.py", APP)
    with pytest.raises(LoadError, match="is a directory"):
        load_app(target)


def test_a_file_that_is_no_python_is_refused(place: Path) -> None:
    write(place / "shop" / "app.txt", "hello")
    with pytest.raises(LoadError, match="is not a Python file"):
        load_app("shop/app.txt")


def test_a_misspelt_module_is_answered_with_the_nearest(place: Path) -> None:
    write(place / "bazaar" / "orders.py", APP)
    with pytest.raises(LoadError, match=r"'bazaar\.order'; did you mean bazaar\.orders\?"):
        load_app("bazaar.order")
    with pytest.raises(LoadError, match="no module 'bazar' "):
        load_app("bazar.orders")


def test_what_is_neither_file_nor_module_is_refused(place: Path) -> None:
    with pytest.raises(LoadError, match=r"neither a \.py file nor the name of a module"):
        load_app("my-app")


def test_an_error_on_import_shows_the_users_frames_and_one_line(place: Path) -> None:
    write(place / "broken.py", "def setup():\n    raise RuntimeError('no database')\n\nsetup()\n")
    with pytest.raises(LoadError) as caught:
        load_app("broken.py")
    text = str(caught.value)
    assert caught.value.exit_code == 1
    assert text.splitlines()[-1] == "broken.py cannot be imported: RuntimeError: no database"
    assert "in setup" in text
    assert "load.py" not in text
    assert "importlib" not in text


def test_a_function_that_is_refused_is_shown_at_its_line_and_told_once(place: Path) -> None:
    write(place / "both.py", "import perdure\n\n@perdure.workflow\nasync def w(ctx):\n    yield\n")
    with pytest.raises(LoadError) as caught:
        load_app("both.py")
    text = str(caught.value)
    assert 'both.py", line 3' in text
    assert "definition.py" not in text
    assert text.count("drop the `async`") == 1


def test_a_syntax_error_shows_the_line(place: Path) -> None:
    write(place / "broken.py", "def setup(:\n")
    with pytest.raises(LoadError, match=r"(?s)def setup\(:.*SyntaxError: invalid syntax"):
        load_app("broken.py")


def test_a_missing_library_is_the_apps_error(place: Path) -> None:
    write(place / "needy.py", "import no_such_library\n")
    for target in ("needy.py", "needy"):
        with pytest.raises(LoadError, match="No module named 'no_such_library'") as caught:
            load_app(target)
        assert caught.value.exit_code == 1


def test_an_app_that_exits_while_it_is_imported_is_told_so(place: Path) -> None:
    write(place / "script.py", "import sys\nsys.exit(3)\n")
    with pytest.raises(LoadError, match="__main__") as caught:
        load_app("script.py")
    assert caught.value.exit_code == 1


def test_an_app_without_workflows_is_told_what_to_do(place: Path) -> None:
    write(place / "bare.py", "def order(ctx): ...\n")
    with pytest.raises(LoadError, match=r"@perdure\.workflow") as caught:
        load_app("bare.py")
    assert caught.value.exit_code == 2
    assert "order" in str(caught.value)


def test_an_attribute_that_is_not_there_is_answered_with_the_nearest(place: Path) -> None:
    write(place / "app4.py", APP + "registry = [order]\n")
    assert names(load_app("app4.py:registry")) == ["order"]
    with pytest.raises(LoadError, match="has no 'registri'; did you mean registry"):
        load_app("app4:registri")
