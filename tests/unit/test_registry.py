import functools
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn, TypeVar

import pytest

from perdure.runtime.workflow import registry as r
from perdure.runtime.workflow.definition import define_workflow
from perdure.runtime.workflow.payload import PayloadError
from perdure.runtime.workflow.registry import Registry, RegistryError, activity, workflow
from perdure.runtime.workflow.signature import Style


@dataclass
class Order:
    total: int


class WorkflowActivityContext:
    pass


async def proceed(ctx: Any, order: Order) -> int:
    return order.total


def steps(ctx: Any, order: Order | None = None) -> Generator[Any, Any, Order]:
    yield
    return Order(1)


def module(name: str = "shop", **names: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(names)
    return made


def test_a_decorator_returns_the_very_function_bare_or_called() -> None:
    async def fn(ctx: Any) -> None: ...

    assert workflow(fn) is fn
    assert workflow(name="other")(fn) is fn
    assert r.name_of(fn) == "other"


def test_a_module_offers_its_marked_functions_and_imported_ones() -> None:
    def charge(order: Order) -> int:
        return order.total

    wf, act = workflow(proceed), activity(charge)
    found = Registry.of(module(wf=wf, again=wf, act=act, other=len, text="x", kind=Order))
    assert [str(it) for it in found] == ["workflow 'proceed'", "activity 'charge'"]
    assert len(found) == 2
    assert found.workflow("Proceed") is None
    assert repr(found) == "<Registry workflows=['proceed'] activities=['charge']>"


def test_a_module_offers_the_registries_in_it() -> None:
    registry, held = Registry(), Registry()
    registry.add_workflow(proceed)
    held.add_workflow(steps)
    holder = type("Runtime", (), {})()
    setattr(holder, r.REGISTRY, held)
    found = Registry.of(module(app=registry, runtime=holder))
    assert [it.name for it in found] == ["proceed", "steps"]


def test_a_registry_is_taken_as_it_is_and_functions_one_by_one() -> None:
    empty = Registry()
    assert Registry.of(empty) is empty
    assert [it.name for it in Registry.of([workflow(proceed)])] == ["proceed"]


@pytest.mark.parametrize(
    ("app", "error", "message"),
    [
        (module(), RegistryError, "no workflows in module 'shop': decorate a function with"),
        ([], RegistryError, "no workflows in the given functions"),
        ([len], RegistryError, "carries no definition: decorate it with @perdure.workflow"),
        ("shop.py", TypeError, "an app is a module, a Registry or functions, found 'shop.py'"),
        (None, TypeError, "an app is a module"),
    ],
)
def test_what_offers_nothing_is_refused_with_the_next_step(
    app: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Registry.of(app)


def test_a_module_without_workflows_names_its_undecorated_functions() -> None:
    def greet(ctx: Any) -> None: ...

    greet.__module__ = "shop"
    with pytest.raises(RegistryError, match="without a decorator there: greet"):
        Registry.of(module(greet=greet))


def test_a_name_given_twice_is_refused_with_both_places() -> None:
    def other(ctx: Any) -> None: ...

    registry = Registry()
    first = registry.add_workflow(proceed)
    assert registry.add_workflow(proceed) is first
    with pytest.raises(RegistryError, match="workflow 'proceed' is defined twice: at ") as caught:
        registry.add_workflow(other, name="proceed")
    line = proceed.__code__.co_firstlineno
    assert f"test_registry.py:{line}" in str(caught.value)
    assert f"test_registry.py:{other.__code__.co_firstlineno}" in str(caught.value)


def test_a_workflow_and_an_activity_may_share_a_name() -> None:
    def charge(order: Order) -> None: ...

    registry = Registry()
    registry.add_workflow(proceed, name="charge")
    registry.add_activity(charge)
    assert [str(it) for it in registry] == ["workflow 'charge'", "activity 'charge'"]


def versioned(*given: tuple[str | None, bool]) -> Registry:
    registry = Registry()
    for version, latest in given:

        async def fn(ctx: Any) -> None: ...

        registry.add_workflow(fn, name="wf", version=version, latest=latest)
    return registry


def test_the_latest_version_is_the_marked_one_or_the_only_one() -> None:
    registry = versioned(("v1", False), ("v2", True), ("v3", False))
    registry.check()
    latest = registry.workflow("wf")
    assert latest is not None
    assert latest.version == "v2"
    assert str(latest) == "workflow 'wf' version 'v2'"
    assert registry.workflow("wf", "v3") is not latest
    assert registry.workflow("wf", "v9") is None
    assert registry.workflow("fw") is None
    assert registry.versions("wf") == ["v1", "v2", "v3"]
    only = versioned(("v1", False)).workflow("wf")
    assert only is not None
    assert only.version == "v1"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("v1", False), ("v2", False)], "several versions, none marked latest: v1 at "),
        ([("v1", True), ("v2", True)], "several versions marked latest: v1 at "),
        ([(None, False), ("v2", False)], r"none marked latest: \(none\) at "),
    ],
)
def test_versions_without_one_latest_are_refused(
    given: list[tuple[str | None, bool]], message: str
) -> None:
    with pytest.raises(RegistryError, match=message):
        Registry.of(versioned(*given))


def test_an_instance_keeps_the_code_that_it_began_with() -> None:
    registry = versioned((None, False), ("v2", True))
    new, old = registry.workflow("wf"), registry.started("wf", None)
    assert new is not None
    assert old is not None
    assert (new.version, old.version) == ("v2", None)
    assert registry.started("wf", "v2") is new
    assert registry.started("wf", "v1") is None
    assert versioned(("v1", True)).started("wf", None) is not None
    assert registry.started("none", None) is None


def test_definitions_tell_style_hints_and_parameters() -> None:
    registry = Registry()
    first, second = registry.add_workflow(proceed), registry.add_workflow(steps)
    assert (first.style, first.input_hint, first.output_hint) == (Style.ASYNC, Order, int)
    assert (second.style, second.input_hint, second.output_hint) == (
        Style.GENERATOR,
        Order | None,
        Order,
    )
    plain = registry.add_workflow(lambda ctx: None, name="plain")
    assert (plain.style, plain.takes_context, plain.takes_input) == (Style.PLAIN, True, False)
    untyped = registry.add_workflow(proceed, name="untyped", typed=False)
    assert (untyped.input_hint, untyped.output_hint) == (Any, Any)


@pytest.mark.parametrize(
    ("hint", "known"),
    [
        (None, Any),
        (NoReturn, Any),
        (TypeVar("T"), Any),
        (list[Order], list[Order]),
        (Iterable[int], Iterable[int]),
        (Callable[[], int], Callable[[], int]),
        (int | Order, int | Order),
    ],
)
def test_a_hint_that_says_nothing_is_any(hint: Any, known: Any) -> None:
    def fn(ctx: Any) -> None: ...

    fn.__annotations__["return"] = hint
    assert Registry().add_workflow(fn).output_hint == known


def test_a_union_that_json_cannot_tell_apart_is_refused_at_registration() -> None:
    def fn(ctx: Any, order: Order | dict[str, int]) -> None: ...

    with pytest.raises(TypeError, match=r"input of workflow 'fn' .* not supported; hint one"):
        Registry().add_workflow(fn)


def test_the_context_may_have_any_name_that_says_so() -> None:
    def named(wf_ctx: Order) -> None: ...
    def hinted(it: "elsewhere.WorkflowContext[int]") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def unused(_unused: Order) -> None: ...
    def bare(it, order): ...  # type: ignore[no-untyped-def]

    for fn in (named, hinted, unused, bare):
        assert Registry().add_workflow(fn).takes_context


def only_ctx(ctx: Any) -> None: ...
def only_underscore(_: Any) -> None: ...
def only_context_type(some: WorkflowActivityContext) -> None: ...
def only_context_text(some: "elsewhere.ActivityContext") -> None: ...  # type: ignore[name-defined]  # noqa: F821
def only_input(order: Order) -> None: ...
def both(anything: Any, order: Order) -> None: ...
def neither() -> None: ...
def extra(ctx: Any, order: Order, flag: bool = False, *, mode: str = "") -> None: ...
def rest(*args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("fn", "context", "input"),
    [
        (only_ctx, True, False),
        (only_underscore, True, False),
        (only_context_type, True, False),
        (only_context_text, True, False),
        (only_input, False, True),
        (both, True, True),
        (neither, False, False),
        (extra, True, True),
        (rest, True, True),
        (functools.partial(extra, flag=True), True, True),
    ],
    ids=lambda it: getattr(it, "__name__", None) if callable(it) else str(it),
)
def test_an_activity_gets_what_it_has_parameters_for(
    fn: Callable[..., Any], context: bool, input: bool
) -> None:
    definition = Registry().add_activity(fn, name="a")
    assert (definition.takes_context, definition.takes_input) == (context, input)
    expected: tuple[Any, ...] = ("CTX",) if context else ()
    text = '{"total":1}'
    arguments = definition.arguments("CTX", text)
    assert len(arguments) == len(expected) + input
    fn(*arguments)


def test_arguments_are_decoded_or_the_default() -> None:
    def fn(ctx: Any, count: int = 3) -> None: ...

    definition = Registry().add_workflow(fn)
    assert definition.arguments("CTX", "5") == ("CTX", 5)
    assert definition.arguments("CTX", None) == ("CTX", 3)
    with pytest.raises(PayloadError, match="input of workflow 'fn' does not fit int"):
        definition.arguments("CTX", '"x"')


@pytest.mark.parametrize("text", [None, "", "null"])
def test_an_input_that_is_needed_and_not_there_is_named(text: str | None) -> None:
    with pytest.raises(PayloadError, match="workflow 'proceed' was called without input"):
        Registry().add_workflow(proceed).arguments("CTX", text)


def test_outputs_are_coded_by_the_hint_of_the_result() -> None:
    definition = Registry().add_workflow(steps)
    assert definition.encode_output(Order(2)) == '{"total":2}'
    assert definition.decode_output('{"total":2}') == Order(2)
    with pytest.raises(PayloadError, match="result of workflow 'steps' cannot be stored"):
        definition.encode_output(object())


def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


class Service:
    async def charge(self, order: Order) -> int:
        return order.total

    async def __call__(self, ctx: Any, order: Order) -> int:
        return order.total


def test_wrappers_methods_and_callable_objects_are_seen_through() -> None:
    registry = Registry()
    wrapped = registry.add_workflow(logged(proceed))
    assert (wrapped.name, wrapped.style, wrapped.input_hint) == ("proceed", Style.ASYNC, Order)
    service = Service()
    method = registry.add_activity(service.charge)
    assert registry.add_activity(service.charge) is method
    assert (method.name, method.is_async, method.input_hint) == ("charge", True, Order)
    called = registry.add_activity(service, name="service")
    assert (called.is_async, called.takes_context, called.input_hint) == (True, True, Order)


def test_a_wrapper_of_a_marked_function_is_what_runs() -> None:
    wrapper = logged(workflow(proceed))
    found = Registry.of(module(wrapper=wrapper)).workflow("proceed")
    assert found is not None
    assert found.fn is wrapper


async def streaming(ctx: Any) -> Any:
    yield 1


def three(ctx: Any, a: int, b: int) -> None: ...
def keyword(ctx: Any, *, mode: str) -> None: ...
def input_first(name: str) -> None: ...
def bad_hint(ctx: Any, order: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (5, "a workflow must be a function, found 5"),
        (Order, "a workflow must be a function, found <class"),
        (lambda ctx: None, r"a workflow needs a name: .*lambda.* has none; give name="),
        (three, r"workflow 'three' \(.*py:\d+\) takes more than \(ctx, input\).*for 'b'"),
        (keyword, "requires the keyword argument 'mode'"),
        (input_first, r"'name' is declared str; write \(ctx, name: str\)"),
        (streaming, "is `async def` with a `yield`"),
    ],
)
def test_what_cannot_be_a_workflow_is_refused_where_it_is_decorated(fn: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        workflow(fn)


def test_a_generator_cannot_be_an_activity() -> None:
    with pytest.raises(TypeError, match=r"activity 'steps' .* is a generator"):
        activity(steps)


def test_one_function_is_not_both() -> None:
    def fn(ctx: Any) -> None: ...

    activity(fn)
    with pytest.raises(TypeError, match="cannot be a workflow and an activity"):
        workflow(fn)


def test_a_builtin_cannot_be_decorated_but_registered() -> None:
    with pytest.raises(TypeError, match=r"cannot be decorated; register it with Registry\.add"):
        activity(abs)
    definition = Registry().add_activity(abs)
    assert definition.arguments(None, "-3") == (-3,)


def test_a_hint_that_cannot_be_resolved_is_refused_when_the_registry_is_built() -> None:
    marked = workflow(bad_hint)
    with pytest.raises(TypeError, match=r"'Missing' of workflow 'bad_hint' .*parameter 'order'"):
        Registry.of([marked])


def test_a_call_refers_to_a_function_by_the_name_it_is_registered_under() -> None:
    registry = Registry()
    registry.add_activity(only_input, name="renamed")
    assert registry.name_of(only_input) == "renamed"
    assert r.name_of(only_input) == "only_input"
    assert registry.name_of("anything") == "anything"
    assert r.name_of(functools.partial(both, None)) == "both"
    for nameless in ("", 5, lambda: None):
        with pytest.raises(TypeError):
            registry.name_of(nameless)  # type: ignore[arg-type]


def test_a_successor_takes_over_as_the_latest_version() -> None:
    registry = Registry()
    registry.succeed(define_workflow(proceed, name="order", version="1", latest=True))
    registry.succeed(define_workflow(steps, name="order", version="2", latest=True))
    registry.check()
    latest = registry.workflow("order")
    assert latest is not None
    assert latest.version == "2"
    assert registry.versions("order") == ["1", "2"]
    assert registry.name_of(proceed) == registry.name_of(steps) == "order"
