"""The demo's documents in Chroma, asked the same question by several people: `pip install "tamis[langchain]" langchain-chroma`, then
`python app.py [number of the question]`."""

import json
import sys
from itertools import islice
from pathlib import Path

import chromadb
from langchain_chroma import Chroma
from langchain_core.embeddings import Embeddings

import tamis
from tamis.langchain import TamisRetriever

DEMO = Path(__file__).resolve().parents[2] / "cli" / "demo"
DIMENSIONS, SCALE = 384, 127
SHOWN = 4


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (DEMO / name).read_text().splitlines()]


def vectors(name: str) -> list[list[float]]:
    numbers = iter(memoryview((DEMO / name).read_bytes()).cast("b"))
    return [[n / SCALE for n in vector] for vector in iter(lambda: list(islice(numbers, DIMENSIONS)), [])]


class Questions(Embeddings):
    """The embeddings that come with the questions, in place of a model."""

    def __init__(self) -> None:
        texts = [question["text"] for question in lines("questions.jsonl")]
        self.known = dict(zip(texts, vectors("questions.i8"), strict=True))

    def embed_query(self, text: str) -> list[float]:
        return self.known[text]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError


def main(number: int) -> None:
    policy = tamis.Policy.load(DEMO / "company.cedar", schema=DEMO / "demo.cedarschema")
    loader = {"type": "User", "id": "loader", "properties": {"tenant": "acme", "clearance": 0, "roles": ["indexer"]}}
    chunks, embeddings = lines("corpus.jsonl"), vectors("corpus.i8")

    # Before the database: what the policy does not let in, or could not decide on later, is not stored.
    admitted = policy.admit({"subject": loader, "action": {"name": "index"}}, chunks)
    kept = [index for index, admission in enumerate(admitted) if admission]
    print(
        f"{len(kept)} of {len(chunks)} chunks are stored for acme; the others are of another tenant, or lack what the policy reads"
    )
    collection = chromadb.EphemeralClient().create_collection("docs")
    collection.add(
        ids=[chunks[i]["id"] for i in kept],
        embeddings=[embeddings[i] for i in kept],
        documents=[chunks[i]["text"] for i in kept],
        metadatas=[chunks[i]["attributes"] for i in kept],
    )

    questions = Questions()
    question = list(questions.known)[number - 1]
    store = Chroma("docs", questions, client=chromadb.EphemeralClient())
    # What has passed the admit gate has the types that the schema declares, so that a filter can rely on them.
    retriever = TamisRetriever(store=store, policy=policy, k=SHOWN, fields={"admitted": True})
    print(f"\n{question}")
    for person in json.loads((DEMO / "people.json").read_text()):
        found = retriever.search(question, request=tamis.Request(person["request"]))
        print(
            f"\n{person['name']}, {person['about']}: {found.examined} examined, {found.denied} denied by the filter gate"
        )
        for hit in found.hits:
            about = hit.item.metadata
            print(f"  {about['title'][:46]:46} level {about['access_level']}, {', '.join(about['user_roles'])}")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
