"""Searches the same documents in Chroma through LangChain for people who may read all of them, one in ten, in a hundred, in a thousand:
by Tamis, and by wardowl before and after the search. Writes times and recall for `results`.

Its arguments are the folder of the package `tamis`, or "" if it is installed, and the file for the figures. A hit that the person may not
read is an error.
"""

import json
import sys
import time
from statistics import median

if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])

import chromadb
import numpy as np
import tamis
from langchain_chroma import Chroma
from tamis.langchain import TamisRetriever
from wardowl.authz import AuthorizationError  # noqa: F401  (what its retriever raises)
from wardowl.backends.chroma import ChromaBackend
from wardowl.filters import In, matches
from wardowl.langchain import WardowlRetriever
from wardowl.retriever import PermissionedRetriever
from wardowl.types import Document, Subject

DOCUMENTS = 20_000
DIMENSIONS = 96
K = 10
QUESTIONS = 40
TIME, RECALL = "search in Python, Chroma through LangChain", "recall of these searches, of 1"
# Which documents are for whom: one in a thousand, and so on.
TEAMS = ["rare", "few", "some", "most"]
PEOPLE = {"100 %": 4, "10 %": 3, "1 %": 2, "0.1 %": 1}

random = np.random.default_rng(1)


def unit(count):
    vectors = random.normal(size=(count, DIMENSIONS)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


VECTORS, ASKED = unit(DOCUMENTS), unit(QUESTIONS)
TEAM = [TEAMS[0] if n % 1000 == 0 else TEAMS[1] if n % 100 == 0 else TEAMS[2] if n % 10 == 0 else TEAMS[3] for n in range(DOCUMENTS)]
METADATA = [{"team": team, "number": number} for number, team in enumerate(TEAM)]
IDS = [str(number) for number in range(DOCUMENTS)]


class Embedding:
    """Of questions, which are the numbers of `ASKED`; those of the documents are handed over."""

    def embed_query(self, text):
        return ASKED[int(text)].tolist()

    def embed_documents(self, texts):
        raise NotImplementedError


class Teams:
    """A document is for a team."""

    def __init__(self, filters):
        self.filters = filters

    def filter_for(self, subject, action="read"):
        return In("team", subject.groups) if self.filters else None

    def check(self, subject, hits, action="read"):
        rule = In("team", subject.groups)
        return [matches(rule, hit.metadata) for hit in hits]


def collection(client, name):
    return client.create_collection(name, configuration={"hnsw": {"space": "l2", "ef_construction": 200, "ef_search": 200}})


def tamis_retriever(client):
    made = collection(client, "tamis")
    for start in range(0, DOCUMENTS, 5000):
        part = slice(start, start + 5000)
        made.add(ids=IDS[part], embeddings=VECTORS[part], documents=IDS[part], metadatas=METADATA[part])
    policy = tamis.Policy.compile("permit(principal, action, resource) when { principal.teams.contains(resource.team) };")
    retriever = TamisRetriever(store=Chroma("tamis", Embedding(), client=client), policy=policy, k=K)

    def request(teams):
        who = {"type": "User", "id": "u", "properties": {"teams": teams}}
        return tamis.Request({"subject": who, "action": {"name": "retrieve"}})

    people = {person: request(TEAMS[:teams]) for person, teams in PEOPLE.items()}
    return lambda person, question: retriever.invoke(question, request=people[person])


def wardowl_retriever(client, filters):
    made = collection(client, f"wardowl{int(filters)}")
    backend = ChromaBackend(made, Embedding().embed_query)
    backend.add([Document(id, id, metadata) for id, metadata in zip(IDS, METADATA)], embeddings=VECTORS.tolist())
    permissioned = PermissionedRetriever(backend=backend, authorizer=Teams(filters), strategy="prefilter" if filters else "postfilter")
    retriever = WardowlRetriever(retriever=permissioned, k=K)
    people = {person: Subject("u", TEAMS[:teams]) for person, teams in PEOPLE.items()}
    return lambda person, question: retriever.invoke(question, subject=people[person])


def main():
    client = chromadb.EphemeralClient()
    ways = {
        "tamis": tamis_retriever(client),
        "wardowl, before the search": wardowl_retriever(client, True),
        "wardowl, after the search": wardowl_retriever(client, False),
    }
    distances = 1 - ASKED @ VECTORS.T
    figures = []
    for person, teams in PEOPLE.items():
        readable = np.isin(TEAM, TEAMS[:teams])
        best = [set(np.argsort(np.where(readable, row, np.inf))[:K]) for row in distances]
        for row, search in ways.items():
            times, found = [], 0
            for question in range(QUESTIONS):
                start = time.perf_counter_ns()
                hits = search(person, str(question))
                times.append(time.perf_counter_ns() - start)
                numbers = {int(hit.page_content) for hit in hits}
                assert all(readable[number] for number in numbers), f"{row} hands out what {person} may not read"
                found += len(numbers & best[question])
            recall = found / (QUESTIONS * K)
            print(f"{TIME} / {row} / {person}: {median(times) / 1e6:.2f} ms, recall {recall:.3f}", file=sys.stderr)
            figures.append({"group": TIME, "row": row, "column": person, "value": median(times), "unit": "time"})
            figures.append({"group": RECALL, "row": row, "column": person, "value": recall, "unit": "count"})
    with open(sys.argv[2], "w") as file:
        json.dump(figures, file, indent=2)


main()
