"""LlamaIndex in ten lines: `pip install "tamis[llama-index]"`, then `python llama_index_quickstart.py`."""

from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import TextNode

import tamis
from tamis.llama_index import TamisRetriever

policy = tamis.Policy.compile("permit(principal, action, resource) when { resource.level <= principal.clearance };")
texts = {"The menu.": 0, "The salaries.": 3, "The address.": 0}
nodes = [TextNode(text=text, metadata={"level": level}) for text, level in texts.items()]
index = VectorStoreIndex(nodes, embed_model=MockEmbedding(8))
retriever = TamisRetriever(index.as_retriever(similarity_top_k=2), policy)

# From your own login, never from the model or the prompt.
bob = {"subject": {"type": "User", "id": "bob", "properties": {"clearance": 1}}, "action": {"name": "retrieve"}}
with tamis.acting(bob):
    for found in retriever.retrieve("What do they earn?"):
        print(found.get_content())
