"""One access policy, sandboxed in WebAssembly, decides which chunks a person may be handed."""

from tamis import _fork  # noqa: F401  (registers what a fork needs)
from tamis._chunk import Chunk
from tamis._context import acting, current_request
from tamis._dialect import Dialect
from tamis._errors import (
    ArtifactError,
    ContractError,
    Error,
    HostError,
    InputError,
    LimitError,
    NoRequestError,
    SelfTestError,
    SourceError,
    TrapError,
)
from tamis._native import (
    Admission,
    Decision,
    Policy,
    Problem,
    Request,
    Rewrite,
    Session,
    Translation,
    Watch,
)

__all__ = [
    "Admission",
    "ArtifactError",
    "Chunk",
    "ContractError",
    "Decision",
    "Dialect",
    "Error",
    "HostError",
    "InputError",
    "LimitError",
    "NoRequestError",
    "Policy",
    "Problem",
    "Request",
    "Rewrite",
    "SelfTestError",
    "Session",
    "SourceError",
    "Translation",
    "TrapError",
    "Watch",
    "acting",
    "current_request",
]
