"""Every change writes its audit in its own transaction: without the row there is no change.  Walks the table of handlers."""

import re
from pathlib import Path

import pytest

from registry_harness import Cluster, Refused, Registry
from test_transfer import FIXTURE

HANDLERS = Path(__file__).parents[2] / "services/registry/handlers.c"
CODE = "async def main():\n    return 1\n"
PASSWORD = "correct horse battery"
UNAUDITED = {
    "REFRESH": "one session's tokens are renewed; begin and end of the session are audited",
}
# Moves by itself, or when a question is asked: no part of the change.
OWN_LIFE = {"requests", "audit_head", "audit_checkpoints", "instances", "schema_migrations", "migrations"}


def changes():
    """Messages of the rows that change something."""
    return set(re.findall(r"\{ MSG_(\w+),[^}]*?OP_(?:CHANGE|SECRET),", HANDLERS.read_text()))


class Walk:
    """Makes each change twice: while no audit row can be written, and then for real."""

    def __init__(self, registry):
        self.r, self.seen, self.kept = registry, set(), {}
        registry.sql("CREATE FUNCTION no_audit() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no audit'; END $$"
                     " LANGUAGE plpgsql; CREATE TRIGGER no_audit BEFORE INSERT ON audit_log FOR EACH ROW"
                     " EXECUTE FUNCTION no_audit(); ALTER TABLE audit_log DISABLE TRIGGER no_audit")
        tables = registry.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
                              " AND table_type = 'BASE TABLE'").split()
        self.dump = " UNION ALL ".join(
            f"SELECT '{t}|' || count(*) || '|' || md5(coalesce(string_agg({row}, ',' ORDER BY {row}), '')) FROM {t} x"
            for t in sorted(set(tables) - OWN_LIFE)
            for row in ["x.id::text" if t in ("sessions", "api_tokens") else "x::text"])

    def state(self):
        return set(self.r.sql(self.dump).split("\n"))

    def audit(self, able):
        self.r.sql(f"ALTER TABLE audit_log {'DISABLE' if able else 'ENABLE'} TRIGGER no_audit")

    def rows(self):
        return int(self.r.sql("SELECT count(*) FROM audit_log"))

    def __call__(self, ask, msg, **body):
        self.audit(False)
        before = self.state()
        with pytest.raises(Refused) as refused:
            ask(msg, **body)
        assert refused.value.code in ("internal", "unavailable"), (msg, refused.value.text)
        assert "no audit" not in refused.value.text, msg
        assert self.state() == before, f"{msg} changed something without its audit row"
        self.audit(True)
        rows = self.rows()
        reply = ask(msg, **body)
        assert self.rows() > rows, f"{msg} wrote no audit row"
        self.seen.add(msg)
        return reply


@pytest.fixture
def registry():
    cluster = Cluster()
    made = Registry(cluster)
    yield made
    made.close()
    cluster.remove()


def test_no_change_is_made_without_its_audit_row(registry):
    r, walk = registry, Walk(registry)
    r.join_executor()
    walk(r.stranger, "SETUP", username="anna", password=PASSWORD)
    r.token = walk(r.stranger, "LOGIN", username="anna", password=PASSWORD)["access_token"]

    server = walk(r.llm, "CREATE_SERVER", name="news")["id"]
    walk(r.llm, "UPDATE_SERVER", server_id=server, description="later")
    walk(r.admin, "SET_WARM_REUSE", server_id=server, warm_reuse=True)
    walk(r.llm, "VALIDATE_CODE", code=CODE)
    tool = walk(r.llm, "CREATE_TOOL", server_id=server, name="status", python_code=CODE)["id"]
    walk(r.llm, "UPDATE_TOOL", tool_id=tool, description="other")
    walk(r.llm, "ROLLBACK_TOOL", tool_id=tool, version=1)
    walk(r.admin, "TEST_CODE", tool_id=tool)
    walk(r.llm, "REQUEST_PUBLISH", tool_id=tool)
    walk(r.admin, "DECIDE_TOOL", tool_id=tool, action="approve")
    walk(r.llm, "PREPARE_TEST", tool_id=tool)
    walk(r.llm, "START_SERVER", server_id=server)
    walk(r.admin, "RESTART_SERVER", server_id=server)
    walk(r.admin, "PAUSE", server_id=server)
    walk(r.admin, "RESUME", server_id=server)

    host = walk(r.llm, "REQUEST_NETWORK_ACCESS", tool_id=tool, host="a.example.com", justification="why")["request_id"]
    walk(r.admin, "DECIDE_NETWORK", request_id=host, action="approve")
    walk(r.admin, "REVOKE_NETWORK", request_id=host)
    walk(r.admin, "DELETE_NETWORK_REQUEST", request_id=host)
    walk(r.admin, "ALLOW_HOST", server_id=server, host="b.example.com")
    walk(r.admin, "REMOVE_HOST", server_id=server, host="b.example.com")
    module = walk(r.llm, "REQUEST_MODULE", tool_id=tool, module_name="numpy", justification="why")["request_id"]
    walk(r.admin, "DECIDE_MODULE", request_id=module, action="approve")
    walk(r.admin, "REVOKE_MODULE", request_id=module)
    walk(r.admin, "DELETE_MODULE_REQUEST", request_id=module)
    walk(r.admin, "UPDATE_MODULES", add_modules=["pandas"])

    walk(r.llm, "CREATE_SERVER_SECRET", server_id=server, key="ONE")
    walk(r.admin, "ADD_SECRET", server_id=server, key_name="TWO")
    walk(r.admin, "SET_SECRET", server_id=server, key="TWO", value="v", hosts=["c.example.com"])
    walk(r.admin, "DELETE_SECRET", server_id=server, key="TWO")

    walk(r.admin, "UPDATE_SECURITY_POLICY", log_retention_days=90)
    walk(r.admin, "APPLY_SECURITY_PROFILE", profile="strict")
    walk(r.admin, "COMPLETE_ONBOARDING")
    ben = walk(r.admin, "CREATE_USER", username="ben", password=PASSWORD, role="viewer")["user"]["id"]
    walk(r.admin, "UPDATE_USER", user_id=ben, role="author")
    made = walk(r.admin, "CREATE_TOKEN", name="ci", scope="read")
    walk(r.admin, "DELETE_TOKEN", token_id=made["id"])
    r.stranger("LOGIN", username="ben", password=PASSWORD)
    session = next(s["id"] for s in r.admin("LIST_SESSIONS")["items"] if s["username"] == "ben")
    walk(r.admin, "END_SESSION", session_id=session)
    walk(r.admin, "DELETE_USER", user_id=ben)
    walk(r.owner, "SET_PASSWORD", username="anna", password=PASSWORD + "!")
    r.token = r.stranger("LOGIN", username="anna", password=PASSWORD + "!")["access_token"]
    walk(r.admin, "CHANGE_PASSWORD", current_password=PASSWORD + "!", new_password=PASSWORD)

    walk(lambda msg, **body: r.ask("executor", "SYSTEM", msg, body), "REPORT_EVENT", topic="bus.refused",
         object_kind="address", object_id="192.0.2.9", outcome="refused", detail={"cause": "seal", "count": 1})
    call = {"tool_id": tool, "server_id": server, "tool_name": "status", "version": 1}
    walk(r.gateway, "SHIP_RECORDS", origin="gateway-1", records=[
        {"no": 1, "at": "2026-11-22T10:00:00.000Z", "kind": "call_started", "call_id": "c1", "call": call}])
    walk(r.admin, "IMPORT", file=FIXTURE, accept_unverified=True)
    walk(r.admin, "ROTATE_KEYS")

    walk(r.admin, "REVOKE_TOOL", tool_id=tool)
    walk(r.llm, "STOP_SERVER", server_id=server)
    walk(r.llm, "DELETE_TOOL", tool_id=tool)
    walk(r.llm, "DELETE_SERVER", server_id=server)
    walk(r.admin, "LOGOUT")

    assert r.owner("VERIFY_AUDIT")["intact"]
    assert changes() - walk.seen - UNAUDITED.keys() == set(), "rows of the table that this walk does not pass"
    assert walk.seen <= changes(), "this walk passes rows that are not in the table"
