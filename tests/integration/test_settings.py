"""A setting that is not understood stops the program before anything is deleted. T3, O5."""
import re

import pytest

from harness import ROOT
from sweeping import init, policy

USAGE = 2


@pytest.fixture
def jobs(db, pgsweep):
    db.load("jobs")
    db.sql("INSERT INTO jobs (status, created_at) VALUES ('finished', now() - interval '8 days')")
    init(pgsweep)
    return db


def refused(result, *words):
    assert result.code == USAGE and result.out == "", result
    for word in words:
        assert word in result.err, result
    return result.err


@pytest.mark.parametrize("name, meant", [
    ("PGSWEEP_JOBS_RETIAN", "PGSWEEP_JOBS_RETAIN"), ("PGSWEEP_JBOS_RETAIN", "PGSWEEP_JOBS_RETAIN"),
    ("PGSWEP_JOBS_RETAIN", "PGSWEEP_JOBS_RETAIN"), ("pgsweep_jobs_retain", "PGSWEEP_JOBS_RETAIN"),
    ("PGSWEEP_S3_BUKET", "PGSWEEP_S3_BUCKET")])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_T3_a_misspelt_variable_is_refused(jobs, pgsweep, server_log, name, meant, dry):
    """It deleted at 7 days, where 90 were meant."""
    err = refused(pgsweep("jobs", *dry, env={name: "90 days"}), name, f"Did you mean {meant}?")
    assert "90 days" not in err
    assert jobs.count("jobs") == 1 and not server_log.matching(r'^DELETE|"jobs"')


def test_T3_an_empty_misspelt_variable_is_refused(jobs, pgsweep):
    refused(pgsweep("jobs", env={"PGSWEEP_JOBS_RETIAN": ""}), "PGSWEEP_JOBS_RETIAN")
    refused(pgsweep("jobs", env={"PGSWEEP_JOBS_RETAIN": ""}), "PGSWEEP_JOBS_RETAIN")
    assert jobs.count("jobs") == 1


def test_T3_a_slip_in_another_policys_variable_is_a_warning(jobs, pgsweep):
    result = pgsweep("jobs", "--quiet", env={"PGSWEEP_MOCS_RETIAN": "secret"})
    assert result.code == 0 and jobs.count("jobs") == 0, result
    assert "warning: environment variable PGSWEEP_MOCS_RETIAN" in result.err and "secret" not in result.err
    assert "did you mean PGSWEEP_MOCS_RETAIN?" in result.err


def test_T3_settings_of_other_policies_are_silent(jobs, pgsweep, policy_file):
    """Also of policies whose names begin as this one's does, with dashes and underscores."""
    env = {"PGSWEEP_MOCS_RETAIN": "9 days", "PGSWEEP_JOBS_OLD_RETAIN": "1 day", "PGSWEEP_JOBS_MAX_MAX_ROWS": "3",
           "PGSWEEP_TEMPFILES_PAUSE": "1 ms", "PGSWEEP_JOBS_RETAIN": " 7 days "}
    where = policy_file(policy(), "jobs-old")
    policy_file(policy(), "jobs_max")
    refused(pgsweep("jobs", env=env), "PGSWEEP_JOBS_")
    result = pgsweep("jobs", "--quiet", "--policy-dir", where, env=env)
    assert (result.code, result.err, result.out) == (0, "", ""), result
    assert jobs.count("jobs") == 0


@pytest.mark.parametrize("args", [("list",), ("show", "jobs"), ("show", "jobs", "--sql"), ("objects", "drain"), ("objects", "list")])
def test_T3_every_command_that_reads_settings_checks_them(jobs, pgsweep, args):
    refused(pgsweep(*args, env={"PGSWEEP_S3_ALIASSES": "https://cdn.example.com/=media"}), "Did you mean PGSWEEP_S3_ALIASES?")
    refused(pgsweep(*args, env={"PGSWEEP_JBOS_RETIAN": "1 day"}), "PGSWEEP_JBOS_RETIAN")


@pytest.mark.parametrize("args", [("jobs", "--help"), ("--version",), ("init",), ("dlq", "list")])
def test_T3_commands_without_settings_run(jobs, pgsweep, args):
    assert pgsweep(*args, env={"PGSWEEP_JBOS_RETIAN": "1 day"}).code == 0


def test_T3_the_queue_is_drained_for_policies_of_other_directories(jobs, pgsweep):
    assert pgsweep("objects", "drain", env={"PGSWEEP_AUDIT_RETAIN": "1 year"}).code == 0


def test_T3_options_of_the_unit_must_be_on_the_command_line(jobs, pgsweep):
    """PGSWEEP_OPTIONS=--dry-run pgsweep jobs deleted."""
    env = {"PGSWEEP_OPTIONS": "--dry-run --verbose"}
    refused(pgsweep("jobs", env=env), "PGSWEEP_OPTIONS", "--dry-run")
    refused(pgsweep("jobs", "--verbose", env=env), "PGSWEEP_OPTIONS", "--dry-run")
    assert jobs.count("jobs") == 1
    assert pgsweep("jobs", "--dry-run", "--verbose", env=env).code == 0
    assert pgsweep("jobs", env={"PGSWEEP_OPTIONS": ""}).code == 0
    assert jobs.count("jobs") == 0


def test_T3_active_must_name_a_policy_also_without_a_database(pgsweep, policy_file, tmp_path):
    (tmp_path / "root").mkdir()
    where = policy_file(f"kind: files\nretain: 7 days\nroots: [{tmp_path}/root]\nactive: jbos\n", "cache")
    refused(pgsweep("cache", "--policy-dir", where, env={"PGHOST": None, "PGPORT": None, "PGUSER": None, "PGDATABASE": None}),
            "cache.yaml:4", '"jbos"')


def test_T3_a_misnamed_policy_file_is_refused(jobs, pgsweep, tmp_path):
    """The built-in policy of that name was taken instead."""
    (tmp_path / "jobs.yml").write_text(policy("jobs", "created_at", "90 days"), encoding="utf-8")
    refused(pgsweep("jobs", "--policy-dir", tmp_path), "jobs.yml", "jobs.yaml")
    assert jobs.count("jobs") == 1


def test_T3_what_is_read_and_documented_is_known(pgsweep, tmp_path, policy_file):
    """Variables in the sources, the units, the crontab and the documents: none of them may be refused."""
    files = [*ROOT.glob("src/**/*.[ch]"), *ROOT.glob("systemd/*"), *ROOT.glob("packaging/*"), ROOT / "README.md", *ROOT.glob("docs/*.md"),
             ROOT / "ARCHITECTURE.md", *ROOT.glob("man/*")]
    found = set()
    for file in files:
        found |= set(re.findall(r"PGSWEEP_[A-Z0-9_]*[A-Z0-9]", file.read_text(encoding="utf-8")))
    found = {name for name in found if not name.endswith(("_H", "_NAME_KEY"))}
    # What the documents show on purpose as a slip, and what is no variable of the environment.
    found -= {"PGSWEEP_JOBS_RETIAN", "PGSWEEP_EXIT_CODES", "PGSWEEP_EXIT_ENUM", "PGSWEEP_S3"}
    found -= set(re.findall(r"-D(PGSWEEP_\w+)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert {"PGSWEEP_S3_ALIASES", "PGSWEEP_OPTIONS", "PGSWEEP_TEST_DISTANCE", "PGSWEEP_JOBS_RETAIN"} <= found
    for name in ("audit", "name"):
        where = policy_file(policy(), name)
    for name in sorted(found):
        result = pgsweep("show", "jobs", "--policy-dir", where, env={name: "--sql" if name == "PGSWEEP_OPTIONS" else "1 day"})
        assert "no setting" not in result.err, result
