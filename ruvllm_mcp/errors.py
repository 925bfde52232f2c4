"""The one family of errors this package raises on purpose.

Each error says what was wrong (`message`) and what to do about it (`hint`). Doors translate them once each:
MCP `ToolError`, exit code, notebook one-liner. Errors that also are a familiar built-in (`ValueError`,
`LookupError`) inherit from it, so ordinary Python code can catch what it expects.
"""

from __future__ import annotations


class RuvLLMError(Exception):
    """Base of every deliberate error. `str()` gives the message followed by the hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[RuvLLMError], tuple[str, str]]:
        return type(self), (self.message, self.hint)


class InvalidInputError(RuvLLMError, ValueError):
    """An argument is outside what the call accepts."""


class DimensionError(InvalidInputError):
    """Vectors or matrices whose shapes do not fit each other."""


class SettingsError(RuvLLMError, ValueError):
    """A setting is unknown or out of range; names the setting and what it accepts."""


class NotFoundError(RuvLLMError, LookupError):
    """No memory, request or version has that id."""


class StoreError(RuvLLMError):
    """The store could not do what was asked; what was there before is untouched."""


class StoreBusyError(StoreError):
    """Another process holds the store longer than we are willing to wait."""


class StoreVersionError(StoreError):
    """The store was written by a newer release than this one."""


class StoreCorruptError(StoreError):
    """A file of the store is not what it should be."""


class NamespaceFullError(StoreError):
    """A namespace would hold more than its limit allows; nothing was written."""


class StorageFullError(StoreError):
    """The disk is full or the folder cannot be written."""


class StoreUnreachableError(StoreError):
    """The store's server does not answer, or went away."""


class StoreAccessError(StoreError):
    """The store's server refuses us: wrong password, or no right to do this."""


class StoreSetupError(StoreError):
    """The store's server lacks what a store needs: the database, the pgvector extension, a new enough version."""


class ModelError(RuvLLMError):
    """Model or weight files are missing, damaged or of an unsupported kind."""


class BackendError(RuvLLMError):
    """A generation backend failed."""


class InstructionSetError(RuvLLMError):
    """A forced SIMD instruction set is unknown or this CPU lacks it."""
