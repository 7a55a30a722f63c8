"""The command line as a user meets it, above all where something is wrong: exit code, one clear
error, nothing touched. Covers O1."""
import os
import re
import subprocess

import pytest

import harness

USAGE, UNREACHABLE, REFUSED = 2, 3, 4
AT_ONCE = {"PGSWEEP_JOBS_RETRY_FOR": "0 s"}  # a server that is away is not waited for
POLICY = """table: jobs
age: created_at
retain: 7 days
guards:
  - name: active
    unless: t.status IS NULL OR t.status::text NOT IN ('finished', 'failed')
    by: t.status::text
dependents:
  - { table: job_logs, action: delete }
"""


@pytest.fixture
def jobs(db, pgsweep):
    """A render queue with two expired jobs and their logs, a state schema, and a check at the end."""
    db.load("jobs")
    assert pgsweep("init").code == 0
    db.sql("INSERT INTO jobs (id, status, created_at) VALUES (1, 'finished', now() - interval '9 days'),"
           " (2, 'failed', now() - interval '9 days'), (3, 'running', now() - interval '9 days'),"
           " (4, 'finished', now())")
    db.sql("INSERT INTO job_logs (job_id, line) SELECT id, 'x' FROM jobs")
    return db


def error_of(result, code, *says):
    """Checks that a run ended with one clear error, and returns all of its text."""
    assert result.code == code, result
    lines = result.err.splitlines()
    assert lines and lines[0].startswith("pgsweep: error: "), result
    assert sum(line.startswith("pgsweep: error: ") for line in lines) == 1, result
    for line in lines[1:]:
        assert re.match("pgsweep: (detail|hint): |    ", line), result
    for word in says:
        assert word in result.err, result
    return result.err


def untouched(db):
    return db.count("jobs") == 4 and db.count("job_logs") == 4


@pytest.mark.parametrize("args, says", [
    ([], ["no policy or command", "--help"]),
    (["jbos"], ['"jbos"', 'Did you mean "jobs"']),
    (["initt"], ['Did you mean "init"']),
    (["JOBS"], ['Did you mean "jobs"']),
    (["nonsense"], ["pgsweep list"]),
    (["../jobs"], ["no policy or command"]),
    (["jobs", "--dryrun"], ["--dryrun", "--dry-run"]),
    (["jobs", "--dry-run=yes"], ["takes no value"]),
    (["jobs", "-Z"], ['"-Z"']),
    (["jobs", "-d", "a", "-d", "b"], ["given twice"]),
    (["jobs", "--retain"], ["needs a value"]),
    (["jobs", "--policy-dir", "--dry-run"], ["needs a value"]),
    (["jobs", "anonymous"], ["too many command-line arguments"]),
    (["show"], ["name of a policy"]),
    (["show", "jbos"], ['Did you mean "jobs"']),
    (["jobs", "--retain", "30"], ["option --retain", "30 days"]),
    (["jobs", "--retain", "0 days"], ["option --retain", "positive"]),
    (["jobs", "--retain", "5 bananas"], ["option --retain", "bananas"]),
    (["jobs", "--chunk", "0"], ["option --chunk"]),
    (["jobs", "--max-rows", "-1"], ["option --max-rows"]),
    (["jobs", "--max-runtime", "0 s"], ["option --max-runtime", "positive interval"]),
    (["jobs", "--max-runtime", "5 bananas"], ["option --max-runtime"]),
    (["jobs", "--retries", "many"], ["option --retries"]),
    (["jobs", "--cutoff", "yesterdayish"], ["option --cutoff"]),
    (["jobs", "--cutoff", "2999-01-01"], ["in the future"]),
    (["jobs", "--cutoff", "infinity"], ["option --cutoff"]),
    (["jobs", "--format", "xml"], ["xml", "json"]),
    (["list", "--dry-run"], ["cannot be used with"]),
    (["init", "--role", "no such role"], ["no such role"]),
])
def test_bad_input_is_told_and_touches_nothing(jobs, pgsweep, args, says):
    result = pgsweep(*args)
    error_of(result, USAGE, *says)
    assert result.out == ""
    if args[:1] == ["jobs"] and "--format" not in args:
        result = pgsweep("--format=json", *args)
        error_of(result, USAGE, *says)
        assert result.out == "" or result.json()["exit_code"] == USAGE
    assert untouched(jobs)


@pytest.mark.parametrize("topic", [[], ["jobs"], ["init"], ["list"], ["show"]])
def test_help(pgsweep, topic):
    result = pgsweep(*topic, "--help")
    assert result.code == 0 and result.err == ""
    assert result.out.startswith("Usage: pgsweep " + topic[0] if topic else "pgsweep removes")
    if topic in ([], ["jobs"]):
        for code in ("0", "1", "2", "3", "4", "75", r"128\+n"):
            assert re.search(rf"^ +{code}  \S", result.out, re.M), code
        for option in ("-n, --dry-run", "--retain INTERVAL", "--policy-dir DIR", "-d, --dbname"):
            assert option in result.out
    assert all(len(line) <= 120 for line in result.out.splitlines())


def test_version_and_list(pgsweep):
    assert re.fullmatch(r"pgsweep \d+\.\d+\.\d+\n", pgsweep("--version").out)
    listed = pgsweep("list")
    assert listed.code == 0 and listed.err == ""
    assert re.search("^jobs +7 days ", listed.out, re.M) and "built-in" in listed.out


def test_shown_policy_behaves_as_the_one_that_was_shown(jobs, pgsweep, policy_file):
    shown = pgsweep("show", "jobs", "--retain", "8 days")
    assert shown.code == 0 and "option --retain" in shown.out
    directory = policy_file(shown.out, "jobs")
    again = pgsweep("show", "jobs", "--policy-dir", directory)
    assert [l for l in again.out.splitlines() if l[0] != "#"] == [
        l for l in shown.out.splitlines() if l[0] != "#"]
    reports = [pgsweep("jobs", "--dry-run", "--format=json", "--cutoff=2026-01-01", *more).json()
               for more in (["--retain", "8 days"], ["--policy-dir", directory])]
    for report in reports:
        for key in ("run_id", "started", "duration_ms"):
            report.pop(key)
        assert report["metrics"].pop("duration_ms") >= 0
    assert reports[0] == reports[1] and reports[0]["retain"] == "8 days"


SECRET = "hunter2secret"


@pytest.mark.parametrize("code, dbname", [
    (USAGE, f"host=x password={SECRET} nonsense"),
    (USAGE, f"postgresql://u:{SECRET}@h/db?nonsense=1"),
    (USAGE, f"postgresql://u:{SECRET}/x@h/db"),
    (USAGE, f"postgresql://u:a@{SECRET}@h/db"),
    (UNREACHABLE, f"postgresql://u:{SECRET}@localhost:1/db"),
    (UNREACHABLE, f"host=/nowhere password={SECRET} dbname=x"),
])
def test_no_password_is_ever_printed(jobs, pgsweep, code, dbname):
    for more in ([], ["--echo", "--verbose"], ["--format=json"]):
        result = pgsweep("jobs", "-w", "-d", dbname, *more, env=AT_ONCE)
        error_of(result, code)
        assert SECRET not in result.err + result.out, result


@pytest.mark.parametrize("options, says", [
    (["-h", "no-such-host.invalid"], "no-such-host.invalid"),
    (["-h", "/nowhere"], "/nowhere"),
    (["-p", "1"], "1"),
    (["-p", "abc"], "abc"),
    (["-d", "no_such_database"], "no_such_database"),
    (["-U", "no_such_role"], "no_such_role"),
])
def test_unreachable(jobs, pgsweep, options, says):
    for command in (["jobs"], ["jobs", "--format=json"], ["jobs", "--dry-run", "-q"], ["init"]):
        result = pgsweep(*command, *options, "--retry-for=0 s")
        error_of(result, UNREACHABLE, "cannot connect", says, "pgsweep: hint: ")
        if "--format=json" in command:
            assert result.json()["exit_code"] == UNREACHABLE
        else:
            assert result.out == ""
    assert untouched(jobs)


def test_every_way_to_name_the_database(jobs, pgsweep, home):
    server = jobs.server
    nothing = {name: None for name in jobs.env}
    where = f"host={server.host} port={server.port} user={server.user}"
    (home / "services").write_text("[app]\n" + (where + f" dbname={jobs.name}").replace(" ", "\n") + "\n")
    ways = [
        (["-d", jobs.name, "-h", server.host, "-p", server.port, "-U", server.user], {}),
        (["--dbname", f"{where} dbname={jobs.name}"], {}),
        (["-d", f"postgresql:///{jobs.name}?host={server.host}&port={server.port}&user={server.user}"], {}),
        ([], {"PGSERVICEFILE": home / "services", "PGSERVICE": "app"}),
        (["-d", "service=app"], {"PGSERVICEFILE": home / "services"}),
        (["-d", jobs.name], {**jobs.env, "PGDATABASE": "wrong"}),
    ]
    for args, env in ways:
        report = pgsweep("jobs", "-n", "--format=json", *args, env={**nothing, **env})
        assert report.code == 0 and report.json()["eligible"] == 2, report


@pytest.fixture
def guarded(jobs):
    """A role that must give a password, for this database only."""
    role = jobs.role("guarded", "SELECT ON jobs, job_logs", options=f"LOGIN PASSWORD '{SECRET}'")
    rules = harness.Path(jobs.value("SHOW hba_file"))
    before = rules.read_text(encoding="utf-8")
    rules.write_text(f"local {jobs.name} {role} scram-sha-256\n" + before, encoding="utf-8")
    jobs.sql("SELECT pg_reload_conf()")
    harness.wait_until(lambda: jobs.value(
        "SELECT count(*) FROM pg_hba_file_rules WHERE user_name = ARRAY[%s]", role) == 1)
    yield role
    rules.write_text(before, encoding="utf-8")
    jobs.sql("SELECT pg_reload_conf()")


def test_passwords(jobs, guarded, pgsweep, home):
    passfile = home / "passwords"
    passfile.write_text(f"*:*:{jobs.name}:{guarded}:{SECRET}\n", encoding="utf-8")
    passfile.chmod(0o600)
    harness.wait_until(lambda: pgsweep("jobs", "-n", "-w", user=guarded).code != 0)
    error_of(pgsweep("jobs", "-n", "-w", user=guarded), UNREACHABLE, "password", ".pgpass")
    for env in ({"PGPASSWORD": SECRET}, {"PGPASSFILE": passfile}):
        result = pgsweep("jobs", "-n", "-w", user=guarded, env=env)
        assert result.code == 0 and SECRET not in result.out + result.err, result
    wrong = pgsweep("jobs", "-n", "-w", user=guarded, env={"PGPASSWORD": SECRET + "x"})
    assert SECRET not in error_of(wrong, UNREACHABLE, "password authentication failed")


def test_missing_objects(jobs, pgsweep, policy_file):
    jobs.sql('CREATE TABLE "Renders" (id int PRIMARY KEY, "createdAt" timestamptz, note text)')
    jobs.sql("CREATE VIEW jobs_view AS SELECT * FROM jobs")
    jobs.sql("CREATE TABLE no_key (created_at timestamptz)")
    jobs.sql("CREATE TABLE parent (id int PRIMARY KEY, created_at timestamptz)")
    jobs.sql("CREATE TABLE child () INHERITS (parent)")
    cases = [
        ("table: jobz", "age: created_at", ["jobz", "p.yaml:1", "hint"]),
        ("table: Renders", "age: createdAt", ['public."Renders"']),
        ("table: '\"Renders\"'", "age: createdat", ["createdat", 'Did you mean "createdAt"', "p.yaml:2"]),
        ("table: '\"Renders\"'", "age: note", ["type text", "p.yaml:2"]),
        ("table: jobs_view", "age: created_at", ["jobs_view", "a view", "p.yaml:1"]),
        ("table: no_key", "age: created_at", ["primary key", "ALTER TABLE"]),
        ("table: parent", "age: created_at", ["inheritance"]),
        ("table: a.b.c.d", "age: created_at", ["p.yaml:1"]),
        ("table: 'jobs; DROP TABLE jobs'", "age: created_at", ["p.yaml:1"]),
        ("table: jobs\ntime_zone: Mars/Phobos", "age: created_at", ["time_zone", "Mars/Phobos"]),
        ("table: jobs\nwhere: t.nonsense", "age: created_at\nunlisted: cascade", ["nonsense", "where"]),
        ("table: jobs\nwhere: t.payload", "age: created_at\nunlisted: cascade", ["boolean", "where"]),
    ]
    for table, age, says in cases:
        directory = policy_file(f"{table}\n{age}\nretain: 1 day\n", "p")
        for mode in (["--dry-run"], []):
            error_of(pgsweep("p", "--policy-dir", directory, *mode), USAGE, *says)
    assert untouched(jobs)


def test_the_grant_that_is_named_is_the_one_that_helps(jobs, pgsweep, policy_file):
    """Each refusal names one GRANT; running those, and nothing else, lets the run through."""
    role = jobs.role("sweeper")
    directory = policy_file(POLICY, "p")
    granted = []
    for command in (["p", "--policy-dir", directory, "--dry-run"], ["p", "--policy-dir", directory]):
        for _ in range(8):
            result = pgsweep(*command, user=role)
            if result.code == 0:
                break
            text = error_of(result, USAGE)
            assert untouched(jobs)
            grants = re.findall(r"GRANT [^;]*;?", text.split("pgsweep: hint: ")[1].split("; or,")[0])
            assert grants and not set(grants) & set(granted), result
            granted += grants
            jobs.sql("; ".join(grants))
        assert result.code == 0, result
    assert jobs.count("jobs") == 2
    assert not any("ALL" in grant for grant in granted)


def test_a_schema_without_usage_is_named(jobs, pgsweep, policy_file):
    jobs.sql("CREATE SCHEMA app; CREATE TABLE app.old (id int PRIMARY KEY, at timestamptz)")
    role = jobs.role("reader", "SELECT ON app.old")
    directory = policy_file("table: app.old\nage: at\nretain: 1 day\n", "p")
    text = error_of(pgsweep("p", "-n", "--policy-dir", directory, user=role), USAGE, "p.yaml:1")
    jobs.sql(re.search(r"GRANT USAGE ON SCHEMA .*;", text).group(0))
    assert pgsweep("p", "-n", "--policy-dir", directory, user=role).code == 0


def test_no_state_schema(db, pgsweep):
    db.load("jobs")
    error_of(pgsweep("jobs"), USAGE, "pgsweep init")
    assert pgsweep("jobs", "--dry-run").code == 0
    role = db.role("owner")
    text = error_of(pgsweep("init", user=role), USAGE, "GRANT CREATE ON DATABASE")
    assert db.value("SELECT to_regnamespace('pgsweep')") is None
    db.sql(re.search("GRANT CREATE .*;", text).group(0))
    assert pgsweep("init", user=role).code == 0
    db.sql("DROP SCHEMA pgsweep CASCADE; REVOKE ALL ON DATABASE %s FROM %s" % (db.name, role))


@pytest.mark.parametrize("version, says", [(999, "Upgrade pgsweep"), (0, "pgsweep init")])
def test_state_schema_of_another_version(jobs, pgsweep, version, says):
    jobs.sql("UPDATE pgsweep.state SET version = %s", version)
    error_of(pgsweep("jobs"), USAGE, f"version {version}", says)
    assert untouched(jobs)
    again = pgsweep("init")
    if version == 999:
        error_of(again, USAGE, "999", "Upgrade pgsweep")
        assert jobs.value("SELECT version FROM pgsweep.state") == 999
    else:
        assert again.code == 0 and pgsweep("jobs").code == 0


def dump(db):
    return db.sql("SELECT table_name, column_name, data_type, column_default FROM information_schema.columns"
                  " WHERE table_schema = 'pgsweep' ORDER BY 1, 2") + db.sql(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'pgsweep' ORDER BY 1") + db.sql(
        "SELECT version FROM pgsweep.state")


def test_init_twice_and_by_psql(db, pgsweep):
    role = db.role("sweeper")
    text = pgsweep("init", "--print-sql", "--role", role)
    assert text.code == 0 and db.value("SELECT to_regnamespace('pgsweep')") is None
    env = {**os.environ, **db.env}
    subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1"], input=text.out, env=env, text=True, check=True)
    by_psql = dump(db)
    grants = "SELECT grantee, table_name, privilege_type FROM information_schema.role_table_grants" \
             " WHERE table_schema = 'pgsweep' AND grantee = %s ORDER BY 1, 2, 3"
    granted = db.sql(grants, role)
    db.sql("DROP SCHEMA pgsweep CASCADE")
    for _ in range(2):
        result = pgsweep("init", "--role", role)
        assert (result.code, result.err) == (0, "") and "version 2" in result.out
        assert dump(db) == by_psql and db.sql(grants, role) == granted != []
    assert pgsweep("init", "-q").out == ""
    nowhere = pgsweep("init", "--print-sql", env={"PGHOST": "/nowhere"})
    assert nowhere.code == 0 and "CREATE SCHEMA" in nowhere.out
    db.sql("DROP SCHEMA pgsweep CASCADE")


def test_old_server(jobs, pgsweep):
    for command in ("jobs", "init"):
        error_of(pgsweep(command, env={"PGSWEEP_TEST_SERVER_VERSION": "110022"}), USAGE,
                 "PostgreSQL 11.22", "12 or later", jobs.name)
    assert pgsweep("jobs", "-n", env={"PGSWEEP_TEST_SERVER_VERSION": "120000"}).code == 0


def test_broken_policy_files(jobs, pgsweep, policy_file, tmp_path):
    directory = policy_file("table: jobs\nretian: 1 day\n", "jobs")
    for command in (["jobs"], ["jobs", "-n"], ["jobs", "--format=json"], ["show", "jobs"], ["list"]):
        result = pgsweep(*command, "--policy-dir", directory)
        error_of(result, USAGE, f"{directory}/jobs.yaml:2", '"retian"', '"retain"')
        assert result.out == ""
    assert pgsweep("jobs", "--help", "--policy-dir", directory).code == 0
    for path in (tmp_path / "missing", directory / "jobs.yaml"):
        for command in (["jobs"], ["show", "jobs"], ["list"]):
            error_of(pgsweep(*command, "--policy-dir", path), USAGE, str(path))
    (directory / "jobs.yaml").unlink()
    (directory / "jobs.yaml").mkdir()
    error_of(pgsweep("jobs", "--policy-dir", directory), USAGE, "jobs.yaml", "directory")
    assert untouched(jobs)


def test_environment_is_checked_like_a_file(jobs, pgsweep):
    error_of(pgsweep("jobs", env={"PGSWEEP_JOBS_RETAIN": "7"}), USAGE, "PGSWEEP_JOBS_RETAIN", "without a unit")
    assert untouched(jobs)


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user")
def test_unreadable_policy(jobs, pgsweep, policy_file, tmp_path):
    directory = policy_file(POLICY, "jobs")
    (directory / "jobs.yaml").chmod(0o600)
    for path in [tmp_path, *tmp_path.parents]:
        if path.owner() == "root" and str(path) != "/":
            path.chmod(path.stat().st_mode | 0o755 if path != harness.Path("/tmp") else 0o1777)
    result = subprocess.run(
        [harness.public_binary(), "jobs", "--policy-dir", str(directory)], env=pgsweep.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, user="nobody", cwd="/", check=False)
    assert result.returncode == USAGE and "jobs.yaml: Permission denied" in result.stderr
    assert untouched(jobs)


def shell(pgsweep, command, stdout=subprocess.PIPE):
    done = subprocess.run(["bash", "-c", command, harness.binary()], env=pgsweep.environment(),
                          stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=harness.PATIENCE,
                          cwd=pgsweep.home, check=False)
    return harness.Result([command], done.returncode, done.stdout or "", done.stderr, 0)


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ["jobs", "jobs --dry-run", "jobs --format=json", "list", "--help", "init"])
def test_output_that_cannot_be_written_is_no_success(jobs, pgsweep, command, redirection):
    error_of(shell(pgsweep, f'"$0" {command} {redirection}'), 1, "standard output")


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_not_reach_the_connection(jobs, pgsweep, closed):
    """A descriptor that is closed is the next one that a socket gets: what is printed would go there."""
    shell(pgsweep, '"$0" jobs --verbose --echo ' + closed)
    assert jobs.count("jobs") == 2
    assert jobs.value("SELECT outcome FROM pgsweep.runs") == "done"


def to_nobody(pgsweep, command):
    """Its standard output is a pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    try:
        return shell(pgsweep, command, write)
    finally:
        os.close(write)


def test_a_reader_that_goes_away_does_not_end_a_run(jobs, pgsweep):
    result = to_nobody(pgsweep, '"$0" jobs --verbose --echo 2>&1')
    assert result.code == 1, result
    assert jobs.count("jobs") == 2
    assert jobs.value("SELECT outcome FROM pgsweep.runs") == "done"


def test_quiet_verbose_echo_and_json_each_keep_to_their_stream(jobs, pgsweep):
    quiet = pgsweep("jobs", "--quiet", "--dry-run")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    loud = pgsweep("jobs", "--verbose", "--echo", "--format=json")
    assert loud.code == 0 and loud.json()["deleted"] == 2
    assert re.search(r"^\d{4}-.*\(id\)=\(1\)", loud.err, re.M) and "DELETE FROM" in loud.err
    assert (jobs.count("jobs"), jobs.count("job_logs")) == (2, 2)
    second = pgsweep("jobs", "-q")
    assert (second.code, second.out, second.err) == (0, "", "")


def test_strings_mean_the_same_whatever_the_database_says(jobs, pgsweep, policy_file):
    """With standard_conforming_strings off, the condition below would end inside of its string."""
    jobs.sql(f"ALTER DATABASE {jobs.name} SET standard_conforming_strings = off")
    directory = policy_file(POLICY + "where: t.payload::text <> 'a\\' AND t.id <> 1 AND t.payload::text <> ' OR true --'\n", "p")
    result = pgsweep("p", "-n", "--format=json", "--policy-dir", directory)
    assert result.code == 0 and result.json()["eligible"] == 1, result


@pytest.mark.parametrize("command, codes", [
    ("show jobs", (0, -13)), ("list", (0, -13)), ("objects list", (0, -13)), ("jobs --dry-run", (1,))])
def test_a_reader_of_a_listing_may_have_seen_enough(jobs, pgsweep, command, codes):
    """"| head": only the report of a sweep must reach somebody."""
    assert pgsweep("init", "-q").code == 0
    result = to_nobody(pgsweep, f'"$0" {command}')
    assert result.code in codes and bool(result.err) == (1 in codes), result
