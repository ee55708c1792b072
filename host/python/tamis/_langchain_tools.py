"""Tools for agents that hand a model only what the person may read.

Nothing that a model writes reaches the request: tools take it from the config and the context, never from their arguments. What goes wrong in the policy is for
the operator's log; the model is told no more than that the search failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, Field

from tamis._errors import Error, InputError, NoRequestError
from tamis._langchain_gate import TamisGate, filter_documents, request_of
from tamis._langchain_quiet import aquietly, quietly
from tamis._native import Policy, Request

_log = logging.getLogger("tamis")


def texts(documents: Sequence[Document]) -> str:
    """What a model is given of documents, unless you say otherwise."""
    return "\n\n".join(document.page_content for document in documents)


@contextmanager
def _for_the_operator() -> Iterator[None]:
    """Keeps from the model what an error of the policy's or of the gate's says."""
    try:
        yield
    except NoRequestError:
        raise
    except Error as error:
        _log.error("a tool's search failed", exc_info=error)
        raise ToolException("the search failed") from None


class _Query(BaseModel):
    query: str = Field(description="what to search for")


class _SearchTool(BaseTool):
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    retriever: BaseRetriever
    render: Callable[[Sequence[Document]], str] = Field(default=texts, exclude=True)

    def _run(
        self, query: str, config: RunnableConfig, run_manager: CallbackManagerForToolRun | None = None
    ) -> tuple[str, list[Document]]:
        callbacks = run_manager.get_child() if run_manager else None
        with _for_the_operator():
            documents = self.retriever.invoke(query, patch_config(config, callbacks=callbacks))
        return self.render(documents), documents

    async def _arun(
        self, query: str, config: RunnableConfig, run_manager: AsyncCallbackManagerForToolRun | None = None
    ) -> tuple[str, list[Document]]:
        callbacks = run_manager.get_child() if run_manager else None
        with _for_the_operator():
            documents = await self.retriever.ainvoke(query, patch_config(config, callbacks=callbacks))
        return self.render(documents), documents


def search_tool(
    retriever: BaseRetriever, name: str, description: str, *, render: Callable[[Sequence[Document]], str] = texts
) -> BaseTool:
    """A tool that searches with a `TamisRetriever` or `TamisGate`. Its only argument is the query; the documents are the message's artifact."""
    from tamis.langchain import TamisRetriever

    if not isinstance(retriever, TamisRetriever | TamisGate):
        raise InputError(f"a {type(retriever).__name__} has no gate: wrap it in a `TamisGate`")
    return _SearchTool(name=name, description=description, args_schema=_Query, retriever=retriever, render=render)


class _GuardedTool(BaseTool):
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    tool: BaseTool
    policy: Policy
    request: Request | None = Field(default=None, repr=False)
    fields: Mapping[str, Any] | None = None
    render: Callable[[Sequence[Document]], str] = Field(default=texts, exclude=True)

    def _run(self, *args: Any, config: RunnableConfig, **kwargs: Any) -> tuple[str, list[Document]]:
        with _for_the_operator():
            request = request_of(config, self.request)
            return self._gated(
                quietly(config, lambda silent: self.tool.invoke(self._call(args, kwargs), silent)), request
            )

    async def _arun(self, *args: Any, config: RunnableConfig, **kwargs: Any) -> tuple[str, list[Document]]:
        async def find(silent: RunnableConfig) -> Any:
            return await self.tool.ainvoke(self._call(args, kwargs), silent)

        with _for_the_operator():
            request = request_of(config, self.request)
            return self._gated(await aquietly(config, find), request)

    def _call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the other tool is called with. As a call of a model's, it gives its artifact too."""
        arguments = dict(kwargs) if kwargs or not args else {"__arg1": args[0]}
        return {"name": self.tool.name, "args": arguments, "id": "tamis", "type": "tool_call"}

    def _gated(self, answer: Any, request: Request) -> tuple[str, list[Document]]:
        if isinstance(answer, ToolMessage):
            if answer.status == "error":
                raise InputError(f"the tool `{self.tool.name}` failed: {answer.content}")
            answer = answer.artifact
        if not isinstance(answer, list | tuple) or not all(isinstance(item, Document) for item in answer):
            raise InputError(
                f"the tool `{self.tool.name}` answers with a {type(answer).__name__}, and only documents can be gated: have it return "
                "a list of them as its artifact (`response_format='content_and_artifact'`)"
            )
        documents = filter_documents(self.policy, answer, request, fields=self.fields)
        return self.render(documents), documents


def guard_tool(
    tool: BaseTool,
    policy: Policy,
    *,
    request: Request | None = None,
    fields: Mapping[str, Any] | None = None,
    render: Callable[[Sequence[Document]], str] = texts,
) -> BaseTool:
    """A tool as the given one, whose answer is what the person may read of the documents that it finds.

    The documents are those in its artifact. What it says besides is dropped, as a text cannot be gated: `render` makes the message of the allowed
    ones. It runs without callbacks, which would see what is denied. A tool that has no documents to show fails.
    """
    if tool.response_format != "content_and_artifact":
        raise InputError(
            f"the tool `{tool.name}` answers with a text, which cannot be gated: it must have `response_format='content_and_artifact'`"
        )
    return _GuardedTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.args_schema if tool.args_schema is not None else tool.get_input_schema(),
        tool=tool,
        policy=policy,
        request=request,
        fields=fields,
        render=render,
    )
