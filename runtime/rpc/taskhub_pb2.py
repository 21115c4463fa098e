"""The messages of `taskhub.proto`; their types are in the `.pyi` beside it. An edge module."""

from perdure.runtime.rpc.stubs import message_classes

globals().update(message_classes("taskhub.proto"))
