"""From a path to an operation. A value module.

A tree of path segments. No place in it has both a fixed segment and a parameter, so that a path
never fits two operations, whatever an instance is called; building the tree checks it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

T = TypeVar("T")

_SLASHES = re.compile("/{2,}")


class Found(NamedTuple, Generic[T]):
    """What stands at a path, by method, and the decoded texts of the path's parameters."""

    by_method: dict[str, T]
    values: Sequence[str]


class _Node(Generic[T]):
    __slots__ = ("by_method", "fixed", "parameter")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.by_method: dict[str, T] = {}


class PathTree(Generic[T]):
    """Paths of the form `/fixed/{parameter}` and what stands there."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, path: str, target: T) -> None:
        node = self._root
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                follower = node.parameter
            else:
                follower = node.fixed.setdefault(segment, _Node())
            assert not (node.fixed and node.parameter), f"ambiguous: {path}"
            node = follower
        assert method not in node.by_method, f"twice: {method} {path}"
        node.by_method[method] = target

    def find(self, raw_path: str) -> Found[T] | None:
        """What stands at a percent-encoded path; None if there is nothing.

        As in Dapr, `//` counts as `/` and a `/` at the end counts as none. A parameter is decoded
        once, after the path was split; raises `UnicodeError` if it is not UTF-8.
        """
        if "//" in raw_path:
            raw_path = _SLASHES.sub("/", raw_path)
        if raw_path.endswith("/"):
            raw_path = raw_path[:-1]
        node: _Node[T] | None = self._root
        values: list[str] = []
        for segment in raw_path.split("/")[1:]:
            assert node is not None
            if node.parameter is None:
                node = node.fixed.get(segment)
                if node is None:
                    return None
            else:
                node = node.parameter
                if "%" in segment or not segment.isascii():
                    segment = unquote_to_bytes(segment).decode()
                values.append(segment)
        if node is None or not node.by_method:
            return None
        return Found(node.by_method, values)
