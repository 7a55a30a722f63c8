"""The built-in policy "anonymous": abandoned anonymous accounts with their sessions and accounts."""
import itertools

import pytest

from sweeping import init, preview_and_run, rows, run, spared

# Server settings that must not shift a cutoff.
ZONES = ["America/New_York", "Asia/Kolkata", "UTC"]
UTC_NOW = "(now() AT TIME ZONE 'UTC')"


@pytest.fixture
def auth(db, pgsweep):
    db.load("auth")
    init(pgsweep)
    return db


def add_user(db, name, anonymous=True, age="31 days"):
    db.sql('INSERT INTO "user" (id, name, email, is_anonymous, created_at)'
           f" VALUES (%s, 'n', %s, %s, {UTC_NOW} - %s::interval)", name, name, anonymous, age)
    db.sql("INSERT INTO account (id, user_id, provider_id) VALUES (%s, %s, 'p')", name, name)


def add_session(db, user, created, updated):
    db.sql("INSERT INTO session (id, user_id, token, created_at, updated_at, expires_at) VALUES"
           f" (%s, %s, %s, {UTC_NOW} - %s::interval, {UTC_NOW} - %s::interval, now())",
           *(f"{user}/{created}/{updated}", user, f"{user}/{created}/{updated}"), created, updated)


def users(db):
    return set(db.column('SELECT id FROM "user"'))


SESSIONS = {  # of what age (created, updated), and whether that is recent activity
    "none": ([], False),
    "old": ([("40 days", "31 days")], False),
    "recent": ([("2 days", "1 day")], True),
    "only updated recently": ([("90 days", "29 days")], True),
    "only created recently": ([("29 days", "90 days")], True),
    "old and recent": ([("40 days", "35 days"), ("3 days", "3 days"), ("50 days", "50 days")], True),
}


def test_A1_truth_table(auth, pgsweep):
    expected = set()
    for anonymous, age, kind in itertools.product((True, False, None), ("31 days", "29 days"), SESSIONS):
        name = f"{anonymous} {age} {kind}"
        sessions, recent = SESSIONS[kind]
        add_user(auth, name, anonymous, age)
        for created, updated in sessions:
            add_session(auth, name, created, updated)
        if not (anonymous is True and age == "31 days" and not recent):
            expected.add(name)
    live = preview_and_run(pgsweep, "anonymous")
    assert users(auth) == expected
    assert rows(live) == {'public."user"': 2, "public.session": 1, "public.account": 2}
    assert spared(live) == {("recent session", None): 4}
    assert set(auth.column("SELECT DISTINCT user_id FROM account")) == expected


def test_A1_boundary_of_age_and_of_session_activity(auth, pgsweep):
    cutoff = "2026-02-03 04:05:06.789012"
    for step in (-1, 0, 1):
        moment = f"timestamp '{cutoff}' + interval '{step} microseconds'"
        add_user(auth, f"age {step}")
        auth.sql(f'UPDATE "user" SET created_at = {moment} WHERE id = %s', f"age {step}")
        for column in ("created_at", "updated_at"):
            name = f"session {column} {step}"
            add_user(auth, name, age="10 years")
            add_session(auth, name, "9 years", "9 years")
            auth.sql(f"UPDATE session SET {column} = {moment} WHERE user_id = %s", name)
    run(pgsweep, "anonymous", "--cutoff", cutoff)
    assert users(auth) == {"age 0", "age 1"} | {
        f"session {column} {step}" for column in ("created_at", "updated_at") for step in (0, 1)}


def test_A1_session_without_times_spares(auth, pgsweep):
    auth.sql("ALTER TABLE session ALTER created_at DROP NOT NULL, ALTER updated_at DROP NOT NULL")
    for name, created, updated in (("both null", None, None), ("old, null", "40 days", None),
                                   ("null, recent", None, "1 day")):
        add_user(auth, name)
        add_session(auth, name, created, updated)
    run(pgsweep, "anonymous")
    assert users(auth) == {"both null", "null, recent"}


@pytest.mark.parametrize("rule", ["CASCADE", "RESTRICT", "NO ACTION"])
def test_A2_order_is_sessions_accounts_users(auth, pgsweep, server_log, rule):
    for table in ("session", "account"):
        auth.sql(f"ALTER TABLE {table} DROP CONSTRAINT {table}_user_id_fkey,"
                 f' ADD FOREIGN KEY (user_id) REFERENCES "user" ON DELETE {rule}')
    for number in range(5):
        add_user(auth, f"u{number}")
        add_session(auth, f"u{number}", "40 days", "40 days")
    add_user(auth, "stays", anonymous=False)
    add_session(auth, "stays", "40 days", "40 days")
    live = preview_and_run(pgsweep, "anonymous")
    assert sorted(rows(live).values()) == [5, 5, 5]
    deletes = server_log.matching("^(WITH gone AS .)?DELETE FROM")
    tables = [text.split("DELETE FROM ")[1].split()[0] for text in deletes]
    assert sorted(tables[:2]) == ['"public"."account"', '"public"."session"']
    assert tables[2:] == ['"public"."user"']
    assert users(auth) == set(auth.column("SELECT user_id FROM session")) == {"stays"}


@pytest.mark.parametrize("rule, nullable", [("CASCADE", True), ("SET NULL", True), ("NO ACTION", False)])
def test_A2_other_tables_are_never_touched_by_surprise(auth, pgsweep, rule, nullable):
    auth.sql(f"CREATE TABLE orders (id int PRIMARY KEY, user_id text {'' if nullable else 'NOT NULL'}"
             f' REFERENCES "user" ON DELETE {rule})')
    add_user(auth, "u")
    auth.sql("INSERT INTO orders VALUES (1, 'u')")
    result = pgsweep("anonymous")
    assert result.code == 4 and "orders" in result.err and f"ON DELETE {rule}" in result.err
    assert auth.sql("SELECT id, user_id FROM orders") == [(1, "u")] and users(auth) == {"u"}


def test_A4_statistics_in_report_and_record(auth, pgsweep):
    for number in range(4):
        add_user(auth, f"old {number}")
    add_user(auth, "young", age="1 day")
    add_user(auth, "registered", anonymous=False)
    add_user(auth, "busy")
    add_session(auth, "busy", "40 days", "1 hour")
    add_user(auth, "stuck")
    auth.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
             " IF OLD.id = 'stuck' THEN RAISE 'this one stays'; END IF; RETURN OLD; END$$;"
             'CREATE TRIGGER refuse BEFORE DELETE ON "user" FOR EACH ROW EXECUTE FUNCTION refuse()')
    live = run(pgsweep, "anonymous", code=1)
    assert (live["total"], live["eligible"], live["deleted"], live["failed"]) == (7, 5, 4, 1)
    assert users(auth) == {"young", "registered", "busy", "stuck"}
    assert "this one stays" in live["failures"][0]["error"] and "stuck" in live["failures"][0]["key"]
    assert auth.count("account", "user_id = 'stuck'") == 1
    record = auth.sql("SELECT total, eligible, failed, outcome, finished - started < '1 min'"
                      " FROM pgsweep.runs")
    assert record == [(7, 5, 1, "partial", True)]
    text = pgsweep("anonymous").out
    assert "total 3, eligible 1, deleted 0, errors 1, in " in text


CAMEL = {"is_anonymous": '"isAnonymous"', "created_at": '"createdAt"', "updated_at": '"updatedAt"',
         "user_id": '"userId"'}


def test_A2_camel_case_schema(auth, pgsweep, policy_file):
    """Another usual spelling of the same schema: say so in a policy, and it works."""
    for name in ("old", "busy"):
        add_user(auth, name)
    add_session(auth, "busy", "40 days", "1 day")
    add_session(auth, "old", "40 days", "40 days")
    for table, columns in {'"user"': list(CAMEL)[:3], "session": list(CAMEL)[1:],
                           "account": list(CAMEL)[1:]}.items():
        for column in columns:
            auth.sql(f"ALTER TABLE {table} RENAME {column} TO {CAMEL[column]}")
    result = pgsweep("anonymous")
    assert result.code == 2 and 'Did you mean "createdAt"?' in result.err
    shown = pgsweep("show", "anonymous").out.replace("age: created_at", "age: createdAt")
    for plain, camel in CAMEL.items():
        shown = shown.replace(f"t.{plain}", f"t.{camel}").replace(f"s.{plain}", f"s.{camel}")
    preview_and_run(pgsweep, "anonymous", "--policy-dir", policy_file(shown, "anonymous"))
    assert users(auth) == {"busy"} and auth.column('SELECT "userId" FROM account') == ["busy"]


def cutoff_probe(db):
    """Users a minute on either side of 30 days, and sessions likewise."""
    for name, age in (("older", "30 days 1 minute"), ("younger", "30 days -1 minute")):
        add_user(db, name, age=age)
        add_user(db, f"session {name}", age="60 days")
        add_session(db, f"session {name}", "50 days", age)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("scope", ["database", "role", "client"])
def test_A1_time_zone_settings_do_not_shift_the_cutoff(auth, pgsweep, zone, scope):
    env = {}
    user = None
    if scope == "database":
        auth.sql(f'ALTER DATABASE "{auth.name}" SET TimeZone = \'{zone}\'')
    elif scope == "role":
        user = auth.role("sweeper", options="LOGIN SUPERUSER")
        auth.sql(f'ALTER ROLE "{user}" SET TimeZone = \'{zone}\'')
    else:
        env = {"PGTZ": zone, "TZ": zone, "PGOPTIONS": f"-c TimeZone={zone} -c DateStyle=German"}
    cutoff_probe(auth)
    preview_and_run(pgsweep, "anonymous", env=env, user=user)
    assert users(auth) == {"younger", "session younger"}


@pytest.mark.parametrize("zone", ZONES[:2])
@pytest.mark.parametrize("cutoff", ["2026-03-08 07:30:00+00", "2025-11-02 06:30:00+00",
                                    "2025-11-02 05:30:00+00", "2026-03-29 01:30:00+00"])
def test_A1_days_on_which_clocks_change(auth, pgsweep, zone, cutoff):
    """An hour that New York has twice or never is an hour like any other in UTC."""
    auth.sql(f'ALTER DATABASE "{auth.name}" SET TimeZone = \'{zone}\'')
    for minutes in (-90, -60, -30, -1, 0, 1, 30, 60, 90):
        name = f"{minutes}"
        add_user(auth, name)
        auth.sql('UPDATE "user" SET created_at = (%s::timestamptz AT TIME ZONE \'UTC\')'
                 " + %s::interval WHERE id = %s", cutoff, f"{minutes} min", name)
    run(pgsweep, "anonymous", "--cutoff", cutoff)
    assert users(auth) == {"0", "1", "30", "60", "90"}


def test_A6_environment_and_option_change_the_retention(auth, pgsweep):
    for name, age in (("a", "3 days"), ("b", "10 days"), ("c", "20 days")):
        add_user(auth, name, age=age)
    env = {"PGSWEEP_ANONYMOUS_RETAIN": "15 days"}
    run(pgsweep, "anonymous", env=env)
    assert users(auth) == {"a", "b"}
    run(pgsweep, "anonymous", "--retain", "5 days", env=env)
    assert users(auth) == {"a"}
