"""Names, and versions, to the functions of an app. A value module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

from perdure.actors.errors import Refused
from perdure.runtime.workflow.definition import (
    ActivityDefinition,
    ActivityMark,
    Definition,
    WorkflowDefinition,
    WorkflowMark,
    activity,
    attributes_of,
    define_activity,
    define_workflow,
    mark_of,
    name_of,
    workflow,
)

__all__ = [
    "ActivityDefinition",
    "Registry",
    "RegistryError",
    "WorkflowDefinition",
    "activity",
    "name_of",
    "workflow",
]

REGISTRY = "__perdure_registry__"
"""Attribute by which any object of a module may offer a `Registry` of its own."""


class RegistryError(Refused):
    """What an app offers cannot be served: nothing there, or a name given twice."""


class Registry:
    """The workflows and activities of one app. Filled before the node starts, read after."""

    def __init__(self) -> None:
        self._workflows: dict[str, dict[str | None, WorkflowDefinition]] = {}
        self._activities: dict[str, ActivityDefinition] = {}
        # By identity: a callable need not be hashable. The definitions keep the functions alive.
        self._names: dict[int, str] = {}

    @classmethod
    def of(
        cls,
        app: ModuleType | Registry | Iterable[Callable[..., Any]],
        *,
        activities_suffice: bool = False,
    ) -> Registry:
        """What `app` offers: a registry as it is, a module's marked functions, or functions.

        A module counts with all names that it holds, imported ones too, in the order of their
        definition, and with the registries among them. `activities_suffice` if workflows may be
        somewhere else; nothing at all never does.
        """
        if isinstance(app, Registry):
            app.check()
            return app
        registry = cls()
        found: Any = app
        if isinstance(found, Iterable) and not isinstance(found, str):
            for fn in found:
                if not registry._add_found(fn):
                    raise RegistryError(
                        f"{fn!r} carries no definition: decorate it with @perdure.workflow or "
                        "@perdure.activity, or fill a Registry with add_workflow and add_activity"
                    )
            nothing = "no workflows in the given functions: decorate one with @perdure.workflow"
        elif isinstance(found, ModuleType):
            for value in list(vars(found).values()):
                registry._add_found(value)
            nothing = _nothing_found(found)
        else:
            raise TypeError(f"an app is a module, a Registry or functions, found {app!r}")
        if not registry._workflows and not (activities_suffice and registry._activities):
            raise RegistryError(nothing)
        registry.check()
        return registry

    def add_workflow(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        version: str | None = None,
        latest: bool = False,
        typed: bool = True,
    ) -> WorkflowDefinition:
        """Register a function, marked or not. Without `typed` its hints are not looked at."""
        return self._keep_workflow(
            define_workflow(fn, name=name, version=version, latest=latest, typed=typed)
        )

    def add_activity(
        self, fn: Callable[..., Any], *, name: str | None = None, typed: bool = True
    ) -> ActivityDefinition:
        """Register a function, marked or not. Without `typed` its hints are not looked at."""
        return self._keep_activity(define_activity(fn, name=name, typed=typed))

    def add(self, definition: WorkflowDefinition | ActivityDefinition) -> None:
        """Register a definition that was made elsewhere."""
        if isinstance(definition, WorkflowDefinition):
            self._keep_workflow(definition)
        else:
            self._keep_activity(definition)

    def succeed(self, definition: WorkflowDefinition) -> None:
        """Register a definition that takes over as the latest, if another version was that."""
        before = self._workflows.get(definition.name, {})
        # In one step: a node may be reading meanwhile.
        self._workflows[definition.name] = {
            version: replace(earlier, latest=False) for version, earlier in before.items()
        } | {definition.version: definition}
        self._names[id(definition.fn)] = definition.name

    def workflow(self, name: str, version: str | None = None) -> WorkflowDefinition | None:
        """That version; without one, what a new instance runs."""
        versions = self._workflows.get(name)
        if versions is None:
            return None
        if version is not None:
            return versions.get(version)
        return _latest(versions)

    def started(self, name: str, version: str | None) -> WorkflowDefinition | None:
        """The code of an instance that began with `version`, None if it began without one."""
        versions = self._workflows.get(name, {})
        if version is None and None not in versions:
            return self.workflow(name)
        return versions.get(version)

    def versions(self, name: str) -> list[str]:
        """The named versions of a workflow, sorted."""
        return sorted(version for version in self._workflows.get(name, {}) if version is not None)

    def activity(self, name: str) -> ActivityDefinition | None:
        return self._activities.get(name)

    def name_of(self, target: str | Callable[..., Any]) -> str:
        """As `name_of`, but a function that was registered here under another name has that."""
        if not isinstance(target, str):
            found = self._names.get(id(target))
            if found is not None:
                return found
        return name_of(target)

    def workflows(self) -> Iterator[WorkflowDefinition]:
        """All versions of all workflows, sorted by name and version."""
        for name in sorted(self._workflows):
            versions = self._workflows[name]
            yield from (versions[key] for key in sorted(versions, key=lambda key: key or ""))

    def activities(self) -> Iterator[ActivityDefinition]:
        """All activities, sorted by name."""
        return (self._activities[name] for name in sorted(self._activities))

    def __iter__(self) -> Iterator[WorkflowDefinition | ActivityDefinition]:
        yield from self.workflows()
        yield from self.activities()

    def __len__(self) -> int:
        return sum(map(len, self._workflows.values())) + len(self._activities)

    def __repr__(self) -> str:
        return (
            f"<Registry workflows={sorted(self._workflows)} activities={sorted(self._activities)}>"
        )

    def check(self) -> None:
        """Raise `RegistryError` if it is not clear which version of a workflow is the latest."""
        for versions in self._workflows.values():
            _latest(versions)

    def _add_found(self, value: Any) -> bool:
        """Take over a marked function, or a registry; False if `value` is neither."""
        offered = attributes_of(value).get(REGISTRY, value)
        if isinstance(offered, Registry):
            for definition in offered:
                self.add(definition)
            return True
        match mark_of(value):
            case WorkflowMark():
                self.add_workflow(value)
            case ActivityMark():
                self.add_activity(value)
            case None:
                return False
        return True

    def _keep_workflow(self, definition: WorkflowDefinition) -> WorkflowDefinition:
        versions = self._workflows.setdefault(definition.name, {})
        there = versions.get(definition.version)
        if there is not None:
            # `==`, because a bound method is a new object whenever it is looked up.
            if there.fn != definition.fn:
                raise _given_twice(there, definition)
            return there
        versions[definition.version] = definition
        self._names[id(definition.fn)] = definition.name
        return definition

    def _keep_activity(self, definition: ActivityDefinition) -> ActivityDefinition:
        there = self._activities.get(definition.name)
        if there is not None:
            # `==`, because a bound method is a new object whenever it is looked up.
            if there.fn != definition.fn:
                raise _given_twice(there, definition)
            return there
        self._activities[definition.name] = definition
        self._names[id(definition.fn)] = definition.name
        return definition


def _latest(versions: dict[str | None, WorkflowDefinition]) -> WorkflowDefinition:
    if len(versions) == 1:
        return next(iter(versions.values()))
    marked = [definition for definition in versions.values() if definition.latest]
    candidates = marked or list(versions.values())
    if len(candidates) == 1:
        return candidates[0]
    listed = ", ".join(f"{it.version or '(none)'} at {it.location}" for it in candidates)
    problem = "several versions marked latest" if marked else "several versions, none marked latest"
    raise RegistryError(
        f"workflow '{candidates[0].name}' has {problem}: {listed}; "
        "give latest=True to the one that new instances shall run"
    )


def _given_twice(there: Definition, new: Definition) -> RegistryError:
    return RegistryError(
        f"{new} is defined twice: at {there.location} and at {new.location}; "
        "rename one of them, with name=... if need be"
    )


def _nothing_found(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    place = f"module '{module.__name__}'" + (f" ({file})" if file else "")
    plain = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
        if hasattr(value, "__code__") and not name.startswith("_") and mark_of(value) is None
    ]
    hint = f"; without a decorator there: {', '.join(plain[:5])}" if plain else ""
    return (
        f"no workflows in {place}: decorate a function with @perdure.workflow, "
        f"or put a Registry into the module{hint}"
    )
