"""What can go wrong, by who can put it right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tamis._native import Problem


class Error(Exception):
    """Something failed, and nothing was allowed. The text is for the operator: it can quote the policy and the request."""


class SourceError(Error):
    """The policy does not compile. Whoever wrote it can put it right."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = list(problems)
        """Everything that is wrong, with its places."""
        first = self.problems[0] if self.problems else None
        self.line = first.line if first else None
        """The line of the first problem, from 1."""
        self.column = first.column if first else None
        """The column of the first problem, from 1."""


class ArtifactError(Error):
    """The bytes are no policy component. Whoever built them can put it right."""


class ContractError(Error):
    """The component breaks the contract: another version, or an answer that the contract does not allow."""


class LimitError(Error):
    """The policy reached a limit: time, memory, or size of an answer."""


class TrapError(Error):
    """The policy's own code gave up."""


class SelfTestError(Error):
    """The policy did not pass the self-test."""


class HostError(Error):
    """This machine or its configuration is in the way."""


class InputError(Error, ValueError):
    """A request, chunk, filter or map of fields that is not of the documented shape."""


class NoRequestError(Error):
    """Nobody said who asks, so nothing is searched."""
