"""One access policy, sandboxed in WebAssembly, decides which chunks a person may be handed."""

from tamis._chunk import Chunk
from tamis._context import NoRequestError, acting, current_request
from tamis._native import (
    Admission,
    ArtifactError,
    ContractError,
    Decision,
    Error,
    HostError,
    InputError,
    LimitError,
    Policy,
    Problem,
    Request,
    Rewrite,
    SelfTestError,
    Session,
    SourceError,
    Translation,
    TrapError,
    Watch,
)

__all__ = [
    "Admission",
    "ArtifactError",
    "Chunk",
    "ContractError",
    "Decision",
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
