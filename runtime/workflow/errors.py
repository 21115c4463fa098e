"""What can be refused, and what can be wrong, about a workflow instance. A value module.

Texts follow the spec where Dapr's clients can see them.
"""

from __future__ import annotations

from perdure.actors.errors import Fault, Refused


class InstanceNotFound(Refused):
    """There is no such instance."""

    def __init__(self, instance_id: str) -> None:
        super().__init__("no such instance exists")
        self.instance_id = instance_id


class InstanceExists(Refused):
    """The id is in use by an instance that has not finished."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"an active workflow with ID '{instance_id}' already exists")
        self.instance_id = instance_id


class InstanceNotUnique(Refused):
    """The id has been used, and the caller asked for one that never was."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(
            f"a workflow with ID '{instance_id}' already exists and the create enforces "
            "instance ID uniqueness"
        )
        self.instance_id = instance_id


class InstanceCreatedBefore(Refused):
    """The id that a run from an event was to have belongs to an instance, finished or not."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"workflow '{instance_id}' has already been created")
        self.instance_id = instance_id


class NoSuchApp(Refused):
    """No node ever was of that app, in the cluster of this node."""

    def __init__(self, app_id: str) -> None:
        super().__init__(f"no node of this cluster is of app '{app_id}'")
        self.app_id = app_id


class NotRerunnable(Refused):
    """An instance cannot be run again from an event in the way that was asked for."""


class NothingToRerun(Refused):
    """There is no such instance to be run again, or no such event in its history."""


class ChildNotFinished(Refused):
    """The id cannot be used again while a child of its last run has not finished."""

    def __init__(self, instance_id: str, child_id: str) -> None:
        super().__init__(
            f"cannot recreate workflow with ID '{instance_id}': child workflow '{child_id}': "
            "orchestration has not yet completed"
        )
        self.instance_id = instance_id
        self.child_id = child_id


class NotCompleted(Refused):
    """Only a finished instance can be purged."""

    def __init__(self, instance_id: str) -> None:
        super().__init__("orchestration has not yet completed")
        self.instance_id = instance_id


class InstanceStalled(Refused):
    """The instance cannot go on until its code, or its data, is put right."""

    def __init__(self, instance_id: str, reason: str) -> None:
        super().__init__(f"workflow is stalled: {reason}")
        self.instance_id = instance_id
        self.reason = reason


class InvalidRequest(Refused):
    """An argument of a call is not acceptable; `code` is the spec's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NonDeterminismError(Fault):
    """The code asked for something else than it did when the history was written."""
