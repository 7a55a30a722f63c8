"""What the tests of policies and engine share: runs told as JSON, and policies made of few words."""
import json

from harness import keys_wait


def init(pgsweep):
    result = pgsweep("init", "--quiet")
    assert result.code == 0, result


def run(pgsweep, policy, *args, code=0, **kwargs):
    """Runs a policy with --format json, checks the exit code and returns the report."""
    result = pgsweep(policy, "--format", "json", *args, **kwargs)
    report = result.json()
    code = code or keys_wait(report)
    assert result.code == code, result
    assert report["exit_code"] == code, result
    report["stderr"] = result.err
    return report


def rows(report):
    """Rows by table, of the tables that are deleted from or detached."""
    return {entry["table"]: entry["rows"] for entry in report["tables"]
            if entry["action"] in ("delete", "detach")}


def spared(report):
    """Spared candidates by (guard, label)."""
    return {(entry["guard"], entry["label"]): entry["rows"] for entry in report["spared"]}


def policy(table="t", age="at", retain="7 days", **more):
    """A policy file's text. JSON is YAML, so any value may stand for itself."""
    return json.dumps({"table": table, "age": age, "retain": retain, **more}, ensure_ascii=False)


def preview_and_run(pgsweep, name, *args, **kwargs):
    """A dry run and a live run with one cutoff; they must tell the same counts. The live report."""
    dry = run(pgsweep, name, "--dry-run", *args, **kwargs)
    if "--cutoff" not in args:
        args = (*args, "--cutoff", dry["cutoff"])
    live = run(pgsweep, name, *args, **kwargs)
    assert (rows(dry), spared(dry), dry["eligible"], dry["cutoff"]) == \
        (rows(live), spared(live), live["eligible"], live["cutoff"])
    return live
