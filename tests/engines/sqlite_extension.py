"""The SQLite extension in Python's own sqlite3: what a web application does with it.

    /usr/bin/python3 sqlite_extension.py TAMIS.SO

Prints `ok` if all is as it should be. `PYTHONPATH` has sqlite_vec.
"""

import json
import os
import sqlite3
import sys
import tempfile
import threading
import traceback

import sqlite_vec

EXTENSION = os.path.splitext(sys.argv[1])[0]
SCHEMA = """
    entity User { tenant: String, clearance: Long };
    entity Chunk { tenant: String, level: Long };
    action retrieve appliesTo { principal: User, resource: Chunk };
    action index appliesTo { principal: User, resource: Chunk };
"""
POLICY = """
    @id("tenant") forbid(principal, action, resource) unless { resource.tenant == principal.tenant };
    @id("clearance") permit(principal, action, resource) when { resource.level <= principal.clearance };
"""
NOBODY = "forbid(principal, action, resource);"
FOLDER = tempfile.TemporaryDirectory()
PATH = os.path.join(FOLDER.name, "db.sqlite")


def connect(path=PATH, **options):
    connection = sqlite3.connect(path, isolation_level=None, **options)
    connection.enable_load_extension(True)
    sqlite_vec.load(connection)
    connection.load_extension(EXTENSION)
    connection.enable_load_extension(False)
    return connection


def user(name, tenant, clearance):
    properties = {"tenant": tenant, "clearance": clearance}
    return json.dumps({"subject": {"type": "User", "id": name, "properties": properties}, "action": {"name": "retrieve"}})


def one(connection, sql, *parameters):
    return connection.execute(sql, parameters).fetchone()[0]


def column(connection, sql, *parameters):
    return [row[0] for row in connection.execute(sql, parameters)]


def refused(message, call):
    try:
        found = call()
    except sqlite3.Error as error:
        assert message in str(error), f"{message!r} is not in {str(error)!r}"
    else:
        raise AssertionError(f"not refused: {found!r}")


def vector(number):
    return json.dumps([(number * 37 % 101) / 101, (number * 53 % 97) / 97, 1.0])


def make():
    admin = connect()
    admin.execute("PRAGMA journal_mode = WAL")
    admin.execute("CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER, body TEXT)")
    admin.execute("CREATE VIRTUAL TABLE docs_vec USING vec0(embedding float[3])")
    for number in range(1, 301):
        row = (number, ("acme", "globex", "initech")[number % 3], number % 5, f"text {number}")
        admin.execute("INSERT INTO docs VALUES (?, ?, ?, ?)", row)
        admin.execute("INSERT INTO docs_vec (rowid, embedding) VALUES (?, ?)", (number, vector(number)))
    assert one(admin, "SELECT tamis_load('rag', ?, ?)", POLICY, SCHEMA) == 1
    admin.execute("""SELECT tamis_protect('docs', 'rag', '{"vectors":"docs_vec"}')""").fetchall()
    admin.close()


def test_two_people():
    connection = connect()
    refused("no request is set", lambda: column(connection, "SELECT id FROM docs"))
    ticket = one(connection, "SELECT tamis_request(?)", user("alice", "acme", 1))
    mine = column(connection, "SELECT id FROM docs ORDER BY id")
    assert mine == [n for n in range(1, 301) if n % 3 == 0 and n % 5 <= 1], mine
    assert one(connection, "SELECT count(*) FROM docs") == len(mine)
    refused("only the ticket", lambda: one(connection, "SELECT tamis_request(?)", user("gus", "globex", 9)))
    one(connection, "SELECT tamis_request(?, ?)", user("gus", "globex", 0), ticket)
    theirs = column(connection, "SELECT id FROM docs ORDER BY id")
    assert theirs == [n for n in range(1, 301) if n % 3 == 1 and n % 5 == 0], theirs
    connection.close()


def test_writing():
    connection = connect()
    one(connection, "SELECT tamis_request(?)", user("alice", "acme", 2))
    connection.execute("BEGIN")
    rows = [(1001, "acme", 1, "new"), (1002, "acme", 2, "new")]
    connection.executemany("INSERT INTO docs (id, tenant, level, body) VALUES (?, ?, ?, ?)", rows)
    bad = [(1003, "acme", 1, "new"), (1004, "globex", 1, "new")]
    insert = "INSERT INTO docs (id, tenant, level, body) VALUES (?, ?, ?, ?)"
    refused("does not let this request write the row", lambda: connection.executemany(insert, bad))
    refused("does not let", lambda: connection.execute("UPDATE docs SET tenant = 'globex' WHERE id = 1001"))
    assert connection.execute("UPDATE docs SET level = 0 WHERE id > 1000").rowcount == 3
    assert connection.execute("UPDATE docs SET level = 0 WHERE tenant = 'globex'").rowcount == 0
    connection.execute("ROLLBACK")
    assert one(connection, "SELECT count(*) FROM docs WHERE id > 1000") == 0
    connection.close()


def test_injection():
    connection = connect()
    one(connection, "SELECT tamis_request(?)", user("alice", "acme", 0))
    mine = one(connection, "SELECT count(*) FROM docs")
    for injected in (
        "' UNION ALL SELECT body FROM tamis_protected_docs --",
        "' UNION ALL SELECT body FROM docs WHERE tenant <> 'acme' --",
        "' UNION ALL SELECT sql FROM sqlite_stmt --",
        "' UNION ALL SELECT tamis_unprotect('docs') --",
        "' UNION ALL SELECT tamis_request('{}') --",
        "' OR load_extension('evil') --",
    ):
        try:
            found = column(connection, f"SELECT body FROM docs WHERE body = '{injected}'")
        except sqlite3.Error:
            found = []
        assert found == [], injected
    assert one(connection, "SELECT count(*) FROM docs") == mine
    connection.close()


def test_search():
    connection = connect()
    one(connection, "SELECT tamis_request(?)", user("alice", "acme", 0))
    sql = "SELECT s.id, tenant, level FROM tamis_search('docs', ?, 7) AS s JOIN docs ON docs.id = s.id ORDER BY s.distance"
    found = connection.execute(sql, (vector(9),)).fetchall()
    assert len(found) == 7 and all(row[1:] == ("acme", 0) for row in found), found
    blob = sqlite_vec.serialize_float32(json.loads(vector(9)))
    assert connection.execute(sql, (blob,)).fetchall() == found
    assert len(column(connection, "SELECT id FROM tamis_search('docs', ?, 1000)", vector(9))) == 20
    connection.close()


def test_swap():
    admin, reader = connect(), connect()
    one(reader, "SELECT tamis_request(?)", user("alice", "acme", 4))
    count = lambda: one(reader, "SELECT count(*) FROM docs")
    assert count() == 100
    one(admin, "SELECT tamis_load('rag', ?, ?)", NOBODY, SCHEMA)
    assert count() == 0
    admin.execute("BEGIN")
    one(admin, "SELECT tamis_load('rag', ?, ?)", POLICY, SCHEMA)
    assert count() == 0
    admin.execute("ROLLBACK")
    assert count() == 0
    refused("does not compile", lambda: one(admin, "SELECT tamis_load('rag', 'permit(', NULL)"))
    assert "does not compile" in one(admin, "SELECT error FROM tamis_policies WHERE name = 'rag'")
    one(admin, "SELECT tamis_load('rag', ?, ?)", POLICY, SCHEMA)
    assert count() == 100
    admin.close()
    reader.close()


def test_swap_under_load():
    """Every statement is answered by one policy: all of its rows, or none."""
    done, wrong = threading.Event(), []

    def read():
        connection = connect(timeout=30)
        one(connection, "SELECT tamis_request(?)", user("alice", "acme", 4))
        while not done.is_set():
            count = one(connection, "SELECT count(*) FROM docs")
            if count not in (0, 100):
                wrong.append(count)
        connection.close()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    admin = connect(timeout=30)
    try:
        for _ in range(20):
            for policy in (NOBODY, POLICY):
                one(admin, "SELECT tamis_load('rag', ?, ?)", policy, SCHEMA)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong
    admin.close()


def test_pool():
    """One connection serves many users, one after the other, from many threads."""
    connection = connect(check_same_thread=False)
    ticket = [one(connection, "SELECT tamis_lock()")]
    turn, wrong = threading.Lock(), []

    def serve(name, tenant, rest):
        for _ in range(50):
            with turn:
                ticket[0] = one(connection, "SELECT tamis_request(?, ?)", user(name, tenant, 4), ticket[0])
                found = column(connection, "SELECT id FROM docs")
                if len(found) != 100 or any(number % 3 != rest for number in found):
                    wrong.append((name, found))
                ticket[0] = one(connection, "SELECT tamis_end(?)", ticket[0])

    threads = [
        threading.Thread(target=serve, args=arguments)
        for arguments in (("alice", "acme", 0), ("gus", "globex", 1), ("ina", "initech", 2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    refused("no request is set", lambda: column(connection, "SELECT id FROM docs"))
    connection.close()


def test_cursor_left_open():
    connection = connect()
    ticket = one(connection, "SELECT tamis_request(?)", user("alice", "acme", 4))
    left = connection.execute("SELECT id FROM docs")
    assert left.fetchone() is not None
    one(connection, "SELECT tamis_request(?, ?)", user("gus", "globex", 4), ticket)
    refused("the request was changed", left.fetchall)
    connection.close()


def test_another_authorizer():
    connection = connect()
    one(connection, "SELECT tamis_request(?)", user("alice", "acme", 4))
    connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
    refused("another authorizer replaced", lambda: column(connection, "SELECT id FROM docs"))
    connection.close()


def test_fork():
    """A server that forks its workers after it used a policy."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            connection = connect()
            one(connection, "SELECT tamis_request(?)", user("alice", "acme", 4))
            status = 0 if one(connection, "SELECT count(*) FROM docs") == 100 else 2
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    assert os.waitpid(process, 0)[1] == 0


def test_without_the_extension():
    plain = sqlite3.connect(PATH)
    refused("no such module: tamis", lambda: column(plain, "SELECT id FROM docs"))
    refused("no such function", lambda: plain.execute("DELETE FROM tamis_protected_docs"))
    plain.close()


make()
for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
print("ok", sqlite3.sqlite_version)
