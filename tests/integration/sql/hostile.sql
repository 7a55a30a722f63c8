-- Other people's objects in a database: in the schema "public", which is on the search path, overloads of PostgreSQL's
-- operators and functions with argument types that fit better than PostgreSQL's own, and types and tables of the same names.
-- Each overload writes "hostile overload: ..." into the server's log where pgsweep uses it, and then gives PostgreSQL's own
-- answer: what a test does by itself and what the text of a policy means are not disturbed.
-- The functions lie in pg_catalog, so that pgsweep's question which functions a condition may call does not meet them.

SET search_path = pg_catalog;

CREATE PROCEDURE pg_catalog.hostile_function(name text, arguments text, result text, written text, answer text)
LANGUAGE plpgsql AS $body$
BEGIN
    EXECUTE pg_catalog.format(
        'CREATE FUNCTION %s(%s) RETURNS %s LANGUAGE plpgsql STABLE AS $f$ BEGIN'
        ' IF pg_catalog.starts_with(pg_catalog.current_setting(''application_name''), ''pgsweep'') THEN'
        ' RAISE LOG ''hostile overload: %%'', %L; END IF; RETURN %s; END $f$',
        name, arguments, result, written, answer);
END $body$;

-- Operators: for every pair of types that PostgreSQL compares or joins by a conversion, but has no operator of its own for.
DO $body$
DECLARE
    types CONSTANT text[] := ARRAY['varchar', 'text', 'name', 'bpchar', '"char"', 'bool', 'int2', 'int4', 'int8', 'oid',
        'regclass', 'regtype', 'numeric', 'float8', 'timestamptz', 'timestamp', 'date', 'interval', 'json', 'jsonb', 'uuid',
        'xid', 'tid', 'bytea', 'inet', 'text[]', 'varchar[]', 'name[]', 'int2[]', 'int4[]', 'int8[]', 'oid[]', '"char"[]'];
    operators CONSTANT text[] := ARRAY['=', '<>', '<', '>', '<=', '>=', '||', '+', '-', '*', '/', '%', '&', '~~', '!~~', '~',
        '~*', '->', '->>', '#>>', '@>', '<@', '>>'];
    one record;
    result text;
    number int := 0;
BEGIN
    FOR one IN
        SELECT o AS op, l, r
          FROM pg_catalog.unnest(operators) AS o, pg_catalog.unnest(types) AS l, pg_catalog.unnest(types) AS r
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_operator AS p
                            WHERE p.oprname = o AND p.oprleft = l::regtype AND p.oprright = r::regtype)
    LOOP
        BEGIN
            EXECUTE pg_catalog.format('SELECT pg_catalog.pg_typeof(NULL::%s OPERATOR(pg_catalog.%s) NULL::%s)', one.l, one.op, one.r)
               INTO result;
        EXCEPTION WHEN undefined_function OR ambiguous_function OR undefined_object THEN
            CONTINUE;
        END;
        number := number + 1;
        CALL pg_catalog.hostile_function('pg_catalog.hostile_' || number, one.l || ', ' || one.r, result,
            pg_catalog.concat_ws(' ', one.l, one.op, one.r), pg_catalog.format('$1 OPERATOR(pg_catalog.%s) $2', one.op));
        EXECUTE pg_catalog.format('CREATE OPERATOR public.%s (FUNCTION = pg_catalog.hostile_%s, LEFTARG = %s, RIGHTARG = %s)',
                                  one.op, number, one.l, one.r);
    END LOOP;
END $body$;

-- Functions; without lower, which the built-in policies call: what a function of that name outside of pg_catalog reads, nobody
-- knows, and they would be swept otherwise.
DO $body$
DECLARE
    types CONSTANT text[] := ARRAY['varchar', 'name', 'int2', 'int4', 'regclass', 'text[]', 'varchar[]', 'int8[]', 'jsonb', 'timestamptz'];
    ones CONSTANT text[] := ARRAY['upper', 'quote_ident', 'quote_literal', 'length', 'cardinality', 'abs', 'ceil',
        'to_regclass', 'current_setting', 'to_jsonb', 'array_to_string', 'concat', 'jsonb_build_array', 'isfinite', 'hashtext'];
    twos CONSTANT text[] := ARRAY['concat', 'format', 'jsonb_build_array', 'array_position', 'array_append', 'array_cat', 'strpos',
        'left', 'right', 'date_trunc', 'array_to_string', 'string_to_array', 'has_table_privilege', 'format_type'];
    one record;
    result text;
BEGIN
    FOR one IN
        SELECT f, l AS arguments, 'NULL::' || l AS nothing, '$1' AS parameters, l::regtype::oid::text AS oids
          FROM pg_catalog.unnest(ones) AS f, pg_catalog.unnest(types) AS l
         UNION ALL
        SELECT f, l || ', ' || r, 'NULL::' || l || ', NULL::' || r, '$1, $2', l::regtype::oid || ' ' || r::regtype::oid
          FROM pg_catalog.unnest(twos) AS f, pg_catalog.unnest(types) AS l, pg_catalog.unnest(types) AS r
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_proc AS p
                               WHERE p.proname = one.f AND p.pronamespace = 'pg_catalog'::regnamespace
                                 AND p.proargtypes::text = one.oids);
        BEGIN
            EXECUTE pg_catalog.format('SELECT pg_catalog.pg_typeof(pg_catalog.%s(%s))', one.f, one.nothing) INTO result;
        EXCEPTION WHEN others THEN
            CONTINUE;
        END;
        CALL pg_catalog.hostile_function('public.' || pg_catalog.quote_ident(one.f), one.arguments, result,
            one.f || '(' || one.arguments || ')', pg_catalog.format('pg_catalog.%s(%s)', one.f, one.parameters));
    END LOOP;
END $body$;

-- Types and tables.
DO $body$
DECLARE
    one text;
BEGIN
    FOREACH one IN ARRAY ARRAY['text', 'int2', 'int4', 'int8', 'bool', 'oid', 'name', 'jsonb', 'timestamptz', 'interval', 'uuid',
                               'regclass', 'regtype', 'xid', 'bytea', 'date', 'numeric', 'float8'] LOOP
        EXECUTE pg_catalog.format('CREATE TYPE public.%I AS (hostile pg_catalog.int4)', one);
    END LOOP;
    FOREACH one IN ARRAY ARRAY['pg_class', 'pg_namespace', 'pg_attribute', 'pg_type', 'pg_constraint', 'pg_index', 'pg_inherits',
                               'pg_trigger', 'pg_proc', 'pg_operator', 'pg_locks', 'pg_stats', 'pg_roles', 'pg_database',
                               'runs', 'object_queue', 'object_sources', 'dead_letters', 'spared'] LOOP
        EXECUTE pg_catalog.format('CREATE TABLE public.%I (hostile pg_catalog.int4)', one);
    END LOOP;
END $body$;

RESET search_path;
