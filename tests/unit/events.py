"""Strategies for the events of a history and for what holds them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow import messages as m

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
payload = st.none() | text
numbers = st.integers(0, 2**53)
"""Times and counters: what SQLite and JSON clients can hold as well."""

failures = st.recursive(
    st.builds(h.Failure, text, text, payload, st.none(), st.booleans()),
    lambda inner: st.builds(h.Failure, text, text, payload, inner, st.booleans()),
    max_leaves=3,
)
parents = st.builds(h.Parent, numbers, text, numbers, numbers, payload)
forks = st.builds(h.Fork, text, numbers, numbers)
started = st.builds(
    h.ExecutionStarted,
    text,
    payload,
    payload,
    st.none() | parents,
    st.none() | numbers,
    st.lists(text, max_size=3).map(tuple),
    st.booleans(),
    forks=st.lists(forks, max_size=3).map(tuple),
)
completions: st.SearchStrategy[Any] = st.one_of(
    st.builds(h.TaskCompleted, numbers, payload),
    st.builds(h.TaskFailed, numbers, failures),
    st.builds(h.ChildWorkflowInstanceCompleted, numbers, payload),
    st.builds(h.ChildWorkflowInstanceFailed, numbers, st.none() | failures),
)
terminated = st.builds(h.ExecutionTerminated, payload, st.booleans(), payload)
incoming: st.SearchStrategy[Any] = st.one_of(
    started,
    completions,
    terminated,
    st.builds(h.TimerFired, numbers),
    st.builds(h.EventRaised, text, payload, text),
    st.builds(h.ExecutionSuspended, payload),
    st.builds(h.ExecutionResumed, payload),
)
outgoing: st.SearchStrategy[Any] = st.one_of(
    st.builds(h.TaskScheduled, numbers, text, payload, text, st.none() | numbers, text, payload),
    st.builds(h.TimerCreated, numbers, numbers, text, text),
    st.builds(h.ChildWorkflowInstanceCreated, numbers, text, text, payload, text, payload),
    st.builds(
        h.DetachedWorkflowInstanceCreated,
        numbers,
        text,
        text,
        payload,
        st.none() | numbers,
        text,
        payload,
    ),
    st.builds(h.ExecutionCompleted, st.sampled_from(h.Status), payload, st.none() | failures),
)
turns = st.builds(
    h.Turn,
    numbers,
    st.lists(incoming, max_size=4).map(tuple),
    st.lists(outgoing, max_size=4).map(tuple),
    text,
    st.lists(text, max_size=3).map(tuple),
)
messages: st.SearchStrategy[Any] = st.one_of(
    st.builds(m.StartWorkflow, started, text, st.booleans(), st.booleans()),
    st.builds(
        m.OpenFork,
        text,
        payload,
        st.lists(st.binary(max_size=9), max_size=3).map(tuple),
        st.lists(outgoing, max_size=3).map(tuple),
        text,
    ),
    st.builds(m.Terminate, terminated, st.booleans()),
    st.builds(m.RaiseEvent, text, payload, text),
    st.builds(m.Completion, numbers, numbers, completions | st.builds(h.TimerFired, numbers)),
)
