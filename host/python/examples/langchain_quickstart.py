"""LangChain in ten lines: `pip install "tamis[langchain]"`, then `python langchain_quickstart.py`."""

from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

import tamis
from tamis.langchain import TamisRetriever

policy = tamis.Policy.compile("permit(principal, action, resource) when { resource.level <= principal.clearance };")
store = InMemoryVectorStore(DeterministicFakeEmbedding(size=64))
store.add_texts(["The menu.", "The salaries.", "The address."], [{"level": 0}, {"level": 3}, {"level": 0}])
retriever = TamisRetriever(store=store, policy=policy, k=2)

# From your own login, never from the model or the prompt.
bob = tamis.Request(
    {"subject": {"type": "User", "id": "bob", "properties": {"clearance": 1}}, "action": {"name": "retrieve"}}
)
for document in retriever.invoke("What do they earn?", {"configurable": {"tamis_request": bob}}):
    print(document.page_content)
