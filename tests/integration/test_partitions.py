"""Foreign keys that partitions have for themselves, on either side."""
import pytest

from sweeping import init, policy, preview_and_run, rows, run, spared

OLD = "now() - interval '1 year'"


@pytest.fixture
def payments(db, pgsweep):
    """Customers 1 to 4, of whom 1 and 2 are old; payments in partitions by month, each with one row per customer."""
    init(pgsweep)
    db.sql("CREATE TABLE customers (id int PRIMARY KEY, at timestamptz);"
           f"INSERT INTO customers SELECT n, CASE WHEN n < 3 THEN {OLD} ELSE now() END FROM generate_series(1, 4) n;"
           "CREATE TABLE payments (id serial, month int, customer_id int) PARTITION BY LIST (month)")
    for month in (1, 2):
        month_of(db, month)
    return db


def month_of(db, month, key="REFERENCES customers"):
    db.sql(f"CREATE TABLE payments_{month} PARTITION OF payments FOR VALUES IN ({month});"
           f"CREATE INDEX ON payments_{month} (customer_id);"
           f"INSERT INTO payments (month, customer_id) SELECT {month}, n FROM generate_series(1, 4) n")
    if key:
        db.sql(f"ALTER TABLE payments_{month} ADD FOREIGN KEY (customer_id) {key}")


def swept(action="delete", **more):
    return policy("customers", dependents=[{"table": "payments", "action": action, **more}])


def left(db):
    return db.sql("SELECT month, array_agg(customer_id ORDER BY 1) FROM payments WHERE customer_id IS NOT NULL"
                  " GROUP BY 1 ORDER BY 1")


def no_key(report):
    return [note for note in report["notes"] if "lacks the foreign key" in note]


@pytest.mark.parametrize("action", ["delete", "detach"])
def test_O2_keys_of_partitions_are_satisfied_by_listing_their_table_once(payments, pgsweep, policy_file, action):
    directory = policy_file(swept(action))
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    assert rows(live) == {"public.customers": 2, "public.payments": 4} and not no_key(live)
    assert left(payments) == [(1, [3, 4]), (2, [3, 4])]
    # Next month's partition with its own key does not stop the timer.
    payments.sql(f"INSERT INTO customers VALUES (1, {OLD})")
    month_of(payments, 3, "REFERENCES customers ON DELETE CASCADE NOT VALID")
    live = preview_and_run(pgsweep, "test", "--policy-dir", directory)
    assert rows(live)["public.customers"] == 1 and left(payments) == [(1, [3, 4]), (2, [3, 4]), (3, [2, 3, 4])]


def test_O2_a_policy_that_keeps_sees_the_keys_of_partitions(payments, pgsweep, policy_file):
    payments.sql("DELETE FROM payments WHERE customer_id = 2")
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(swept("keep")))
    assert spared(live) == {("has payments", None): 1} and live["deleted"] == 1


def test_O2_a_refusal_names_the_partitioned_table_once(payments, pgsweep, policy_file):
    result = pgsweep("test", "--policy-dir", policy_file(policy("customers")))
    assert result.code == 4 and result.err.count("- { table:") == 1, result
    assert "{ table: 'public.payments', action: detach }" in result.err


def test_O2_a_sibling_without_the_key_is_warned_of_and_left_alone(payments, pgsweep, policy_file):
    month_of(payments, 3, key=None)
    payments.sql("INSERT INTO payments (month, customer_id) SELECT 3, 1 FROM generate_series(1, 185)")
    dry = run(pgsweep, "test", "--dry-run", "--policy-dir", policy_file(swept()))
    assert [note for note in dry["remarks"] if "public.payments_3: 187 rows" in note]
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(swept()))
    assert rows(live) == {"public.customers": 2, "public.payments": 4}
    assert left(payments)[:2] == [(1, [3, 4]), (2, [3, 4])] and payments.count("payments_3") == 189
    notes = no_key(live)
    assert len(notes) == 1 and "public.payments_3" in notes[0] and "customer_id" in notes[0]


def test_O2_a_stated_reference_takes_the_sibling_without_the_key_along(payments, pgsweep, policy_file):
    month_of(payments, 3, key=None)
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy(
        "customers", dependents=[{"table": "payments", "action": "delete"}],
        references=[{"table": "payments", "refers_to": "customers", "columns": {"customer_id": "id"}}])))
    assert rows(live) == {"public.customers": 2, "public.payments": 6} and not no_key(live)
    assert left(payments) == [(1, [3, 4]), (2, [3, 4]), (3, [3, 4])]


def test_O2_a_listed_partition_is_one_by_itself(payments, pgsweep, policy_file):
    result = pgsweep("test", "--policy-dir", policy_file(
        policy("customers", dependents=[{"table": "payments_1", "action": "delete"}])))
    assert result.code == 4 and "{ table: 'public.payments', action: detach }" in result.err
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(policy("customers", dependents=[
        {"table": "payments_1", "action": "delete"}, {"table": "payments", "action": "detach"}])))
    assert rows(live) == {"public.customers": 2, "public.payments_1": 2, "public.payments": 2}
    assert payments.count("payments") == 6 and left(payments) == [(1, [3, 4]), (2, [3, 4])]


def test_O2_keys_of_partitions_below_partitions(payments, pgsweep, policy_file):
    payments.sql("CREATE TABLE payments_4 PARTITION OF payments FOR VALUES IN (4) PARTITION BY LIST (customer_id);"
                 "CREATE TABLE payments_4a PARTITION OF payments_4 FOR VALUES IN (1);"
                 "CREATE TABLE payments_4b PARTITION OF payments_4 FOR VALUES IN (2);"
                 "ALTER TABLE payments_4a ADD FOREIGN KEY (customer_id) REFERENCES customers;"
                 "INSERT INTO payments (month, customer_id) VALUES (4, 1), (4, 2)")
    live = preview_and_run(pgsweep, "test", "--policy-dir", policy_file(swept()))
    assert rows(live) == {"public.customers": 2, "public.payments": 5}
    assert left(payments) == [(1, [3, 4]), (2, [3, 4]), (4, [2])]
    assert ["public.payments_4b" in note for note in no_key(live)] == [True]


def test_O2_a_detached_partition_is_a_table_of_its_own(payments, pgsweep, policy_file):
    payments.sql("ALTER TABLE payments DETACH PARTITION payments_2")
    result = pgsweep("test", "--policy-dir", policy_file(swept()))
    assert result.code == 4 and "{ table: 'public.payments_2', action: detach }" in result.err
    assert payments.count("customers") == 4


@pytest.fixture
def orders(db, pgsweep):
    """Orders in two partitions whose numbers repeat, of which those of the first are old; lines refer to one of them."""
    init(pgsweep)
    db.sql("CREATE TABLE orders (year int, id int, at timestamptz, PRIMARY KEY (year, id)) PARTITION BY LIST (year);"
           "CREATE TABLE orders_1 PARTITION OF orders (UNIQUE (id)) FOR VALUES IN (1);"
           "CREATE TABLE orders_2 PARTITION OF orders (UNIQUE (id)) FOR VALUES IN (2);"
           "CREATE TABLE lines (id serial PRIMARY KEY, order_id int REFERENCES orders_2 (id) ON DELETE CASCADE);"
           f"INSERT INTO orders SELECT y, n, CASE WHEN y = 1 OR n = 3 THEN {OLD} ELSE now() END"
           " FROM generate_series(1, 2) y, generate_series(1, 3) n;"
           "INSERT INTO lines (order_id) VALUES (1), (2), (3)")
    return db


@pytest.mark.parametrize("action", ["delete", "detach", "keep"])
def test_O2_a_key_to_one_partition_is_not_about_rows_of_the_others(orders, pgsweep, policy_file, action):
    live = preview_and_run(pgsweep, "test", "--policy-dir",
                           policy_file(policy("orders", dependents=[{"table": "lines", "action": action}])))
    if action == "keep":
        assert spared(live) == {("has lines", None): 1} and orders.count("orders") == 3
    else:
        assert rows(live) == {"public.orders": 4, "public.lines": 1}
        assert orders.column("SELECT order_id FROM lines WHERE order_id IS NOT NULL ORDER BY 1") == [1, 2]


def test_O2_partitions_that_refer_to_partitions(orders, pgsweep, policy_file):
    orders.sql("DROP TABLE lines; CREATE TABLE lines (year int, order_id int) PARTITION BY LIST (year);"
               "CREATE TABLE lines_1 PARTITION OF lines FOR VALUES IN (1);"
               "CREATE TABLE lines_2 PARTITION OF lines FOR VALUES IN (2);"
               "ALTER TABLE lines_1 ADD FOREIGN KEY (order_id) REFERENCES orders_1 (id);"
               "ALTER TABLE lines_2 ADD FOREIGN KEY (order_id) REFERENCES orders_2 (id);"
               "INSERT INTO lines SELECT y, n FROM generate_series(1, 2) y, generate_series(1, 3) n")
    live = preview_and_run(pgsweep, "test", "--policy-dir",
                           policy_file(policy("orders", dependents=[{"table": "lines", "action": "delete"}])))
    assert rows(live) == {"public.orders": 4, "public.lines": 4} and not no_key(live)
    assert orders.sql("SELECT year, order_id FROM lines ORDER BY 2") == [(2, 1), (2, 2)]
