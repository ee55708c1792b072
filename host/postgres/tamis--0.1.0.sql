\echo Use "CREATE EXTENSION tamis" to load this file. \quit

-- Whoever owns the schema, or has owned it, or may create in it could put functions of their own in the way of these.
DO $$
DECLARE
    own pg_catalog.pg_namespace;
BEGIN
    SELECT * INTO own FROM pg_catalog.pg_namespace WHERE nspname = 'tamis';
    IF own.nspowner <> current_user::pg_catalog.regrole::pg_catalog.oid
        OR EXISTS (SELECT FROM pg_catalog.aclexplode(own.nspacl) WHERE privilege_type = 'CREATE' AND grantee <> own.nspowner) THEN
        RAISE EXCEPTION 'the schema "tamis" is open to somebody else'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Drop it: it is made with the extension.';
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
               AND refobjid = own.oid AND classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass) THEN
        RAISE EXCEPTION 'the schema "tamis" is not empty'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Drop it: it is made with the extension.';
    END IF;
END $$;

-- ---- What is stored ----

-- Every policy that was loaded, and by what it can be replaced again.
CREATE TABLE tamis.policy (
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    generation bigint NOT NULL,
    digest text COLLATE "C" NOT NULL,
    component bytea NOT NULL,
    manifest jsonb NOT NULL,
    -- What it was compiled from, if it was here.
    cedar text,
    schema text,
    -- The generation that it replaced.
    previous bigint,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    loaded_by text NOT NULL DEFAULT session_user,
    PRIMARY KEY (name, generation)
);
ALTER TABLE tamis.policy ALTER COLUMN component SET STORAGE EXTERNAL;

-- The generation that serves.
CREATE TABLE tamis.serving (
    name text COLLATE "C" PRIMARY KEY,
    generation bigint NOT NULL,
    digest text COLLATE "C" NOT NULL
);

-- Tables under protection.
CREATE TABLE tamis.protection (
    relation regclass PRIMARY KEY,
    policy text COLLATE "C" NOT NULL,
    -- As tamis.protect was given them.
    columns jsonb NOT NULL,
    attributes name,
    id name,
    ancestors name,
    entity_type text NOT NULL,
    -- Whether row-level security was enabled, and forced, before.
    was_enabled boolean NOT NULL,
    was_forced boolean NOT NULL
);

-- Keys that tokens are signed with. They are not dumped.
CREATE TABLE tamis.key (
    id text COLLATE "C" PRIMARY KEY,
    key bytea NOT NULL CHECK (length(key) >= 32),
    added_at timestamptz NOT NULL DEFAULT now()
);

SELECT pg_catalog.pg_extension_config_dump('tamis.policy', '');
SELECT pg_catalog.pg_extension_config_dump('tamis.serving', '');
SELECT pg_catalog.pg_extension_config_dump('tamis.protection', '');

REVOKE ALL ON tamis.policy, tamis.serving, tamis.protection, tamis.key FROM PUBLIC;
-- Nor do the roles pg_read_all_data and pg_write_all_data reach what is here.
ALTER TABLE tamis.policy ENABLE ROW LEVEL SECURITY;
ALTER TABLE tamis.serving ENABLE ROW LEVEL SECURITY;
ALTER TABLE tamis.protection ENABLE ROW LEVEL SECURITY;
ALTER TABLE tamis.key ENABLE ROW LEVEL SECURITY;

-- ---- What the library does ----

-- What the planner asks about tamis.allowed.
CREATE FUNCTION tamis.allowed_support(internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'tamis_allowed_support' LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE;
-- Whether the policy allows the current request to retrieve a row. Called by row-level security.
CREATE FUNCTION tamis.allowed(policy text, layout text, VARIADIC "any") RETURNS boolean
    AS 'MODULE_PATHNAME', 'tamis_allowed_wrapper' LANGUAGE c STABLE PARALLEL RESTRICTED COST 20 SUPPORT tamis.allowed_support;
-- The same, where the planner has narrowed what is asked, by the policy that it has narrowed for.
CREATE FUNCTION tamis.decided(key text, layout text, VARIADIC "any") RETURNS boolean
    AS 'MODULE_PATHNAME', 'tamis_decided_wrapper' LANGUAGE c STABLE PARALLEL RESTRICTED COST 20;
-- Whether the policy allows the current request to store a row.
CREATE FUNCTION tamis.admitted(policy text, layout text, VARIADIC "any") RETURNS boolean
    AS 'MODULE_PATHNAME', 'tamis_admitted_wrapper' LANGUAGE c STABLE PARALLEL RESTRICTED COST 20;

-- These for a policy that reads nothing of a row.
CREATE FUNCTION tamis.allowed(policy text, layout text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'tamis_allowed_wrapper' LANGUAGE c STABLE PARALLEL RESTRICTED COST 20 SUPPORT tamis.allowed_support;
CREATE FUNCTION tamis.decided(key text, layout text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'tamis_decided_wrapper' LANGUAGE c STABLE PARALLEL RESTRICTED COST 20;
CREATE FUNCTION tamis.admitted(policy text, layout text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'tamis_admitted_wrapper' LANGUAGE c STABLE PARALLEL RESTRICTED COST 20;

-- Sets the request of the current transaction.
CREATE FUNCTION tamis.set_request(request jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'tamis_set_request_wrapper' LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE;
-- The same with a signed request.
CREATE FUNCTION tamis.set_request_token(token text) RETURNS void
    AS 'MODULE_PATHNAME', 'tamis_set_request_token_wrapper' LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE;
-- The current request.
CREATE FUNCTION tamis.request() RETURNS jsonb
    AS 'MODULE_PATHNAME', 'tamis_request_wrapper' LANGUAGE c STABLE PARALLEL RESTRICTED;

CREATE FUNCTION tamis.check_component(component bytea) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'tamis_check_component_wrapper' LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE;
CREATE FUNCTION tamis.compile_policy(name text, cedar text, schema text) RETURNS bytea
    AS 'MODULE_PATHNAME', 'tamis_compile_policy_wrapper' LANGUAGE c VOLATILE PARALLEL UNSAFE;
-- Why the policy with this digest could not decide the last time that it could not: for superusers.
CREATE FUNCTION tamis.last_error(digest text) RETURNS text
    AS 'MODULE_PATHNAME', 'tamis_last_error_wrapper' LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED;
-- Has the plans for a table made anew, in every backend, when the transaction commits, and looks what serves.
CREATE FUNCTION tamis.replan(relation oid) RETURNS void
    AS 'MODULE_PATHNAME', 'tamis_replan_wrapper' LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE;
-- Which rows the current request can be allowed, as a condition: more at most, and never fewer.
CREATE FUNCTION tamis.condition_of(policy text, layout text, names text[], types oid[]) RETURNS text
    AS 'MODULE_PATHNAME', 'tamis_condition_wrapper' LANGUAGE c STRICT STABLE PARALLEL RESTRICTED;

-- ---- Loading policies ----

CREATE FUNCTION tamis.store_policy(name text, component bytea, cedar text, schema text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    checked jsonb;
    replaced bigint;
    number bigint;
BEGIN
    IF store_policy.name IS NULL OR store_policy.name = '' THEN
        RAISE EXCEPTION 'a policy needs a name' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF store_policy.component IS NULL THEN
        RAISE EXCEPTION 'there is no policy to load' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    checked := tamis.check_component(store_policy.component);
    -- One at a time; reading goes on.
    LOCK TABLE tamis.serving IN SHARE ROW EXCLUSIVE MODE;
    SELECT s.generation INTO replaced FROM tamis.serving s WHERE s.name = store_policy.name;
    SELECT coalesce(max(p.generation), 0) + 1 INTO number FROM tamis.policy p WHERE p.name = store_policy.name;
    INSERT INTO tamis.policy (name, generation, digest, component, manifest, cedar, schema, previous)
        VALUES (store_policy.name, number, checked->>'digest', store_policy.component,
                checked->'manifest' || jsonb_build_object('reads', checked->'reads'), store_policy.cedar, store_policy.schema, replaced);
    PERFORM tamis.serve(store_policy.name, number);
    RETURN number;
END $$;

-- Makes a generation the one that serves.
CREATE FUNCTION tamis.serve(name text, generation bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    protected regclass;
BEGIN
    INSERT INTO tamis.serving AS s (name, generation, digest)
        SELECT p.name, p.generation, p.digest FROM tamis.policy p
        WHERE p.name = serve.name AND p.generation = serve.generation
        ON CONFLICT ON CONSTRAINT serving_pkey
        DO UPDATE SET generation = excluded.generation, digest = excluded.digest;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'policy "%" has no generation %', serve.name, serve.generation
            USING ERRCODE = 'undefined_object', HINT = 'It was removed from tamis.policy. Load it again.';
    END IF;
    PERFORM tamis.replan('tamis.serving'::regclass);
    PERFORM tamis.forget_missing();
    -- It may read other columns.
    FOR protected IN SELECT t.relation FROM tamis.protection t WHERE t.policy = serve.name
    LOOP
        PERFORM tamis.enforce(protected);
        PERFORM tamis.replan(protected);
    END LOOP;
END $$;

-- Loads a component. It serves from the next statement after the transaction commits. Returns its generation.
CREATE FUNCTION tamis.load_policy(name text, component bytea) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT tamis.store_policy(name, component, NULL, NULL)
$$;

-- Compiles a policy in Cedar and loads it.
CREATE FUNCTION tamis.load_policy(name text, cedar text, schema text DEFAULT NULL) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT tamis.store_policy(name, CASE WHEN name IS NOT NULL AND cedar IS NOT NULL THEN tamis.compile_policy(name, cedar, schema) END,
                              cedar, schema)
$$;

-- Makes the generation serve that the serving one replaced. Returns its number.
CREATE FUNCTION tamis.rollback_policy(name text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    back bigint;
BEGIN
    LOCK TABLE tamis.serving IN SHARE ROW EXCLUSIVE MODE;
    SELECT p.previous INTO back FROM tamis.serving s JOIN tamis.policy p USING (name, generation)
        WHERE s.name = rollback_policy.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'policy "%" does not exist', rollback_policy.name USING ERRCODE = 'undefined_object';
    END IF;
    IF back IS NULL THEN
        RAISE EXCEPTION 'policy "%" has replaced no other', rollback_policy.name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'tamis.drop_policy removes it, and nothing is allowed by it then.';
    END IF;
    PERFORM tamis.serve(rollback_policy.name, back);
    RETURN back;
END $$;

CREATE FUNCTION tamis.drop_policy(name text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    protected text;
BEGIN
    LOCK TABLE tamis.serving IN SHARE ROW EXCLUSIVE MODE;
    PERFORM tamis.forget_missing();
    SELECT string_agg(t.relation::text, ', ') INTO protected FROM tamis.protection t WHERE t.policy = drop_policy.name;
    IF protected IS NOT NULL THEN
        RAISE EXCEPTION 'policy "%" protects tables', drop_policy.name
            USING ERRCODE = 'dependent_objects_still_exist', DETAIL = protected,
                  HINT = 'Protect them by another policy, or lift the protection with tamis.unprotect.';
    END IF;
    DELETE FROM tamis.serving s WHERE s.name = drop_policy.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'policy "%" does not exist', drop_policy.name USING ERRCODE = 'undefined_object';
    END IF;
    DELETE FROM tamis.policy p WHERE p.name = drop_policy.name;
    PERFORM tamis.replan('tamis.serving'::regclass);
END $$;

CREATE VIEW tamis.policies AS
    SELECT s.name, s.generation, s.digest, p.manifest->'footprint' AS footprint, p.previous, p.loaded_at, p.loaded_by,
        tamis.last_error(s.digest) AS last_error
    FROM tamis.serving s JOIN tamis.policy p USING (name, generation);

-- ---- Protecting tables ----

-- What of a table is what to the policy that protects it: the layout for tamis.allowed, and the columns that follow it.
CREATE FUNCTION tamis.layout(
    relation regclass, policy text, columns jsonb, attributes name, id name, ancestors name, entity_type text,
    OUT layout jsonb, OUT arguments text[], OUT known text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    footprint jsonb;
    -- What else is read of a row.
    facts jsonb;
    entry jsonb;
    path jsonb;
    key text;
    declared text;
    place text;
    wanted text[];
    is_column boolean;
    absent jsonb := '[]';
BEGIN
    SELECT p.manifest->'footprint', p.manifest->'reads' INTO footprint, facts
        FROM tamis.serving s JOIN tamis.policy p USING (name, generation) WHERE s.name = layout.policy;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'policy "%" does not exist', layout.policy
            USING ERRCODE = 'undefined_object', HINT = 'Load it with tamis.load_policy first.';
    END IF;
    IF jsonb_typeof(layout.columns) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the columns are no JSON object' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'It is like {"tenant": "tenant_id"}: attributes and the columns that they are in.';
    END IF;
    layout.layout := '[]';
    arguments := '{}';
    known := '{}';
    IF layout.attributes IS NULL AND tamis.column_type(relation, 'attributes') = 'jsonb' THEN
        layout.attributes := 'attributes';
    END IF;

    -- Without it, what the policy forbids by it would be allowed.
    IF (facts ? 'id' AND layout.id IS NULL) OR (facts ? 'ancestors' AND layout.ancestors IS NULL) THEN
        RAISE EXCEPTION 'policy "%" reads the % of a row, and which column of table % that is is not known', layout.policy,
            CASE WHEN layout.id IS NULL AND facts ? 'id' THEN 'id' ELSE 'ancestors' END, relation
            USING ERRCODE = 'undefined_column', HINT = 'Say it to tamis.protect: by "id" and "ancestors".';
    END IF;
    IF facts ? 'tags' THEN
        RAISE EXCEPTION 'policy "%" reads the tags of a row, which has none', layout.policy
            USING ERRCODE = 'undefined_column', HINT = 'Have it read attributes.';
    END IF;
    -- Of types that are written in one way only, whatever the settings of a session.
    PERFORM tamis.need_column(relation, layout.id, ARRAY['text', 'character varying', 'character', 'name', 'bigint', 'integer',
        'smallint', 'numeric', 'oid', 'uuid']);
    PERFORM tamis.need_column(relation, layout.ancestors, ARRAY['text[]']);
    PERFORM tamis.need_column(relation, layout.attributes, ARRAY['jsonb']);
    IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = layout.attributes AND NOT a.attnotnull) THEN
        RAISE EXCEPTION 'column "%" of table % may be NULL', layout.attributes, relation USING ERRCODE = 'not_null_violation',
            HINT = format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', relation, layout.attributes);
    END IF;
    IF layout.id IS NOT NULL THEN
        layout.layout := layout.layout || '["id"]';
        arguments := arguments || layout.id::text;
    END IF;
    IF layout.ancestors IS NOT NULL THEN
        layout.layout := layout.layout || '["ancestors"]';
        arguments := arguments || layout.ancestors::text;
    END IF;

    FOR entry IN SELECT * FROM jsonb_array_elements(footprint)
    LOOP
        path := entry->'attr';
        declared := entry->>'type';
        -- One name is itself; several are the text of the array.
        key := CASE WHEN jsonb_array_length(path) = 1 THEN path->>0 ELSE path::text END;
        known := known || key;
        is_column := false;
        IF layout.columns ? key THEN
            place := layout.columns->>key;
            is_column := place IS NOT NULL;
            IF NOT is_column THEN
                absent := absent || jsonb_build_array(path);
            END IF;
        ELSIF jsonb_array_length(path) = 1 AND tamis.column_type(relation, path->>0) IS NOT NULL THEN
            place := path->>0;
            is_column := true;
        ELSIF jsonb_array_length(path) > 1 AND tamis.column_type(relation, path->>0) = 'jsonb' THEN
            -- A member of what is in a column of its own.
            place := path->>0;
            path := jsonb_build_array(place);
            declared := '{';
            is_column := NOT EXISTS (SELECT FROM jsonb_array_elements(layout.layout) AS placed WHERE placed = path);
        ELSIF layout.attributes IS NULL THEN
            RAISE EXCEPTION 'table % has no column for the attribute %, which policy "%" reads', relation, key, layout.policy
                USING ERRCODE = 'undefined_column',
                      HINT = 'Map it in "columns", to null if the table never has it, or name a JSONB column of "attributes".';
        END IF;
        IF is_column THEN
            wanted := CASE
                WHEN declared IS NULL THEN NULL
                WHEN declared = 'Bool' THEN ARRAY['boolean']
                WHEN declared = 'Long' THEN ARRAY['bigint', 'integer', 'smallint']
                WHEN declared = 'decimal' THEN ARRAY['double precision']
                WHEN declared = 'Set<Bool>' THEN ARRAY['boolean[]', 'jsonb']
                WHEN declared = 'Set<Long>' THEN ARRAY['bigint[]', 'jsonb']
                WHEN declared = 'Set<decimal>' THEN ARRAY['double precision[]', 'jsonb']
                WHEN declared LIKE 'Set<Set<%' OR declared LIKE 'Set<{%' OR declared LIKE '{%' THEN ARRAY['jsonb']
                WHEN declared LIKE 'Set<%' THEN ARRAY['text[]', 'jsonb']
                ELSE ARRAY['text', 'character varying', 'jsonb']
            END;
            PERFORM tamis.need_column(relation, place, coalesce(wanted, ARRAY['boolean', 'bigint', 'integer', 'smallint',
                'double precision', 'text', 'character varying', 'jsonb', 'boolean[]', 'bigint[]', 'double precision[]', 'text[]']));
            layout.layout := layout.layout || jsonb_build_array(path);
            arguments := arguments || place;
        END IF;
    END LOOP;
    IF layout.attributes IS NOT NULL AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(footprint) AS e
        WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(layout.layout || absent) AS placed
                          WHERE placed = e->'attr' OR placed = jsonb_build_array(e->'attr'->0))
    ) THEN
        -- Everything has a column of its own.
        layout.attributes := NULL;
    END IF;
    IF layout.attributes IS NOT NULL THEN
        layout.layout := layout.layout || '["attributes"]';
        arguments := arguments || layout.attributes::text;
    END IF;
    layout.layout := jsonb_build_object('type', layout.entity_type, 'columns', layout.layout, 'absent', absent);
END $$;

-- The type of a column; NULL if there is none of this name.
CREATE FUNCTION tamis.column_type(relation regclass, name text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format_type(a.atttypid, NULL) FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attname = column_type.name AND a.attnum > 0 AND NOT a.attisdropped
$$;

-- The type of a column that must be there, and of one of these types.
CREATE FUNCTION tamis.need_column(relation regclass, name text, types text[]) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    type text := tamis.column_type(relation, need_column.name);
BEGIN
    IF need_column.name IS NULL THEN
        RETURN NULL;
    END IF;
    IF type IS NULL THEN
        RAISE EXCEPTION 'table % has no column "%"', relation, need_column.name USING ERRCODE = 'undefined_column';
    END IF;
    IF types IS NOT NULL AND type <> ALL (types) THEN
        RAISE EXCEPTION 'column "%" of table % is of type %', need_column.name, relation, type
            USING ERRCODE = 'datatype_mismatch',
                  DETAIL = format('What the policy reads there is %s.', array_to_string(types, ' or ')),
                  HINT = 'Change the type of the column, or map the attribute to another.';
    END IF;
    IF EXISTS (SELECT FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation
               WHERE a.attrelid = relation AND a.attname = need_column.name AND NOT c.collisdeterministic) THEN
        RAISE EXCEPTION 'column "%" of table % takes different texts for the same', need_column.name, relation
            USING ERRCODE = 'datatype_mismatch', DETAIL = 'Its collation is not deterministic; policies compare bytes.',
                  HINT = 'Give the column a deterministic collation.';
    END IF;
    RETURN type;
END $$;

-- Protects a table: no row is read or written but as the policy allows the request of the transaction, owners included.
--
-- Attributes that the policy reads are columns of the same name, or what "columns" maps them to, or else members of the JSONB column
-- "attributes". "columns" has the path of a nested attribute as the text of a JSON array: {"[\"owner\", \"team\"]": "owner_team"}.
CREATE FUNCTION tamis.protect(
    relation regclass, policy text, columns jsonb DEFAULT '{}', attributes name DEFAULT NULL, id name DEFAULT NULL,
    ancestors name DEFAULT NULL, entity_type text DEFAULT 'Chunk') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unknown text;
BEGIN
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = relation) NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% is no table', relation USING ERRCODE = 'wrong_object_type',
            HINT = 'Protect the tables that it shows.';
    END IF;
    IF relation IS NULL OR protect.policy IS NULL OR protect.entity_type IS NULL THEN
        RAISE EXCEPTION 'a table is protected by a policy' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM tamis.register(relation, protect.policy, coalesce(protect.columns, '{}'), protect.attributes, protect.id,
                           protect.ancestors, protect.entity_type);
    -- Only who may change the table.
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', relation);
    -- Written anew, whatever has become of it.
    PERFORM tamis.lift(relation);
    PERFORM tamis.enforce(relation);
    SELECT string_agg(given, ', ') INTO unknown FROM jsonb_object_keys(protect.columns) AS given WHERE given <> ALL (
        (tamis.layout(relation, protect.policy, protect.columns, protect.attributes, protect.id, protect.ancestors, protect.entity_type)).known);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'policy "%" reads no attribute %', protect.policy, unknown
            USING ERRCODE = 'invalid_parameter_value', HINT = 'tamis.policies shows the footprint of each policy.';
    END IF;
    PERFORM tamis.replan(relation);
END $$;

CREATE FUNCTION tamis.register(
    relation regclass, policy text, columns jsonb, attributes name, id name, ancestors name, entity_type text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    -- Not while a policy is loaded or dropped, which would not know of the table.
    LOCK TABLE tamis.serving IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO tamis.protection
        SELECT register.relation, policy, columns, attributes, id, ancestors, entity_type, c.relrowsecurity, c.relforcerowsecurity
        FROM pg_class c WHERE c.oid = register.relation
        ON CONFLICT ON CONSTRAINT protection_pkey DO UPDATE
        SET policy = excluded.policy, columns = excluded.columns, attributes = excluded.attributes, id = excluded.id,
            ancestors = excluded.ancestors, entity_type = excluded.entity_type;
$$;

CREATE FUNCTION tamis.protection_of(relation regclass) RETURNS tamis.protection
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t FROM tamis.protection t WHERE t.relation = protection_of.relation
$$;

-- Writes the row-level security of a table, if it is not as it should be.
CREATE FUNCTION tamis.enforce(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p tamis.protection := tamis.protection_of(relation);
    l record;
    call text;
    readable text;
    writable text;
BEGIN
    SELECT * INTO l FROM tamis.layout(relation, p.policy, p.columns, p.attributes, p.id, p.ancestors, p.entity_type);
    call := format('(%L, %L%s)', p.policy, l.layout::text,
        (SELECT string_agg(format(', %I', argument), '' ORDER BY place) FROM unnest(l.arguments) WITH ORDINALITY AS u(argument, place)));
    IF obj_description(
        (SELECT oid FROM pg_policy WHERE polrelid = relation AND polname = 'tamis_select'), 'pg_policy') = call THEN
        RETURN;
    END IF;
    readable := 'tamis.allowed' || call;
    writable := 'tamis.admitted' || call;
    PERFORM tamis.lift(relation);
    -- Restrictive, so that no other policy of the table widens it.
    EXECUTE format('CREATE POLICY tamis_select ON %s AS RESTRICTIVE FOR SELECT USING (%s)', relation, readable);
    EXECUTE format('CREATE POLICY tamis_insert ON %s AS RESTRICTIVE FOR INSERT WITH CHECK (%s)', relation, writable);
    EXECUTE format('CREATE POLICY tamis_update ON %s AS RESTRICTIVE FOR UPDATE USING (%s AND %s) WITH CHECK (%s)',
                   relation, readable, writable, writable);
    EXECUTE format('CREATE POLICY tamis_delete ON %s AS RESTRICTIVE FOR DELETE USING (%s AND %s)', relation, readable, writable);
    EXECUTE format('COMMENT ON POLICY tamis_select ON %s IS %L', relation, call);
    -- Something must permit what these restrict. Where the table has policies of its own, these go on to decide as well.
    IF NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = relation AND polpermissive) THEN
        -- What it says is true, and goes when a column or this extension goes.
        EXECUTE format('CREATE POLICY tamis_permit ON %s USING (true OR %s) WITH CHECK (true OR %s)', relation, readable, writable);
    END IF;
END $$;

-- Removes the row-level security that this extension has written.
CREATE FUNCTION tamis.lift(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    policy name;
BEGIN
    FOR policy IN SELECT polname FROM pg_policy WHERE polrelid = relation
        AND polname IN ('tamis_select', 'tamis_insert', 'tamis_update', 'tamis_delete', 'tamis_permit')
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', policy, relation);
    END LOOP;
END $$;

-- Lifts the protection. Row-level security is as it was before, but for a table that has policies of its own by now: there it stays on.
CREATE FUNCTION tamis.unprotect(relation regclass) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p tamis.protection := tamis.protection_of(relation);
BEGIN
    IF p.relation IS NULL THEN
        RAISE EXCEPTION 'table % is not protected', relation USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM tamis.unregister(relation);
    PERFORM tamis.lift(relation);
    IF NOT p.was_enabled AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = relation) THEN
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', relation);
    END IF;
    IF NOT p.was_forced THEN
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', relation);
    END IF;
END $$;

CREATE FUNCTION tamis.unregister(relation regclass) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    LOCK TABLE tamis.serving IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM tamis.protection t WHERE t.relation = unregister.relation;
$$;

-- Tables that are gone leave nothing behind.
CREATE FUNCTION tamis.forget_missing() RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM tamis.protection t WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation)
$$;
-- Some are not dropped by a statement, such as temporary ones, and some while there are no event triggers; most are.
CREATE FUNCTION tamis.forget_dropped() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM tamis.protection t USING pg_event_trigger_dropped_objects() d
        WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND t.relation::oid = d.objid;
END $$;
CREATE EVENT TRIGGER tamis_forget_dropped ON sql_drop EXECUTE FUNCTION tamis.forget_dropped();

-- ---- Searching ----

-- Which rows of a protected table the current request can be allowed, as a condition: for people, and for EXPLAIN.
CREATE FUNCTION tamis.condition(relation regclass) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p tamis.protection := tamis.protection_of(relation);
    l record;
BEGIN
    IF p.relation IS NULL THEN
        RAISE EXCEPTION 'table % is not protected', relation USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Protect it with tamis.protect.';
    END IF;
    SELECT * INTO l FROM tamis.layout(relation, p.policy, p.columns, p.attributes, p.id, p.ancestors, p.entity_type);
    RETURN tamis.condition_of(p.policy, l.layout::text, l.arguments, ARRAY(
        SELECT a.atttypid FROM unnest(l.arguments) WITH ORDINALITY AS u(argument, place)
        JOIN pg_attribute a ON a.attrelid = relation AND a.attname = argument ORDER BY place));
END $$;

-- The rows of a protected table that are nearest to a vector and allowed: as many as "k" if there are as many, in order. The table
-- is given as its row type: tamis.search(NULL::docs, 'embedding', '[1,2,3]', 10).
CREATE FUNCTION tamis.search(
    relation anyelement, embedding name, query text, k integer, operator text DEFAULT '<=>') RETURNS SETOF anyelement
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    SET hnsw.iterative_scan = 'relaxed_order' SET ivfflat.iterative_scan = 'relaxed_order' AS $$
DECLARE
    target regclass := (SELECT t.typrelid FROM pg_type t WHERE t.oid = pg_typeof(relation));
    p tamis.protection;
    l record;
    matching text;
    distance text;
    -- The schema of the column's type, in which its operators are.
    home name;
    plan json;
    -- Up to so many rows are compared one by one, which is exact and as fast as an index.
    few CONSTANT bigint := 5000;
    -- Where the rows are that an index finds.
    places text[];
    tids tid[];
BEGIN
    IF coalesce(target, 0) = 0 THEN
        RAISE EXCEPTION '% is no table', pg_typeof(relation) USING ERRCODE = 'wrong_object_type',
            HINT = 'The table is given as its row type, such as NULL::docs.';
    END IF;
    IF operator IS NULL OR operator NOT IN ('<=>', '<->', '<#>', '<+>') THEN
        RAISE EXCEPTION 'no operator of distance is called %', operator USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF k IS NULL OR k < 1 THEN
        RAISE EXCEPTION 'k is not a positive number' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    p := tamis.protection_of(target);
    matching := tamis.condition(target);
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM %s WHERE %s', target, matching) INTO plan;
    SELECT * INTO l FROM tamis.layout(target, p.policy, p.columns, p.attributes, p.id, p.ancestors, p.entity_type);
    -- Row-level security asks the same, but not for everybody.
    matching := format('FROM %s WHERE %s AND tamis.allowed(%L, %L%s)', target, matching, p.policy, l.layout::text,
        (SELECT string_agg(format(', %I', argument), '' ORDER BY place)
         FROM unnest(l.arguments) WITH ORDINALITY AS u(argument, place)));
    SELECT n.nspname INTO home FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
        JOIN pg_namespace n ON n.oid = b.typnamespace
        WHERE a.attrelid = target AND a.attname = embedding AND a.attnum > 0 AND NOT a.attisdropped;
    IF home IS NULL THEN
        RAISE EXCEPTION 'table % has no column "%"', target, embedding USING ERRCODE = 'undefined_column';
    END IF;
    distance := format('%I OPERATOR(%I.%s) %L', embedding, home, operator, query);
    IF (plan->0->'Plan'->>'Plan Rows')::numeric > few THEN
        EXECUTE format(
            'SELECT array_agg(tableoid::text || ctid::text), array_agg(ctid) '
            'FROM (SELECT tableoid, ctid %s ORDER BY %s LIMIT %s) AS nearest', matching, distance, k) INTO places, tids;
        IF cardinality(places) = k THEN
            RETURN QUERY EXECUTE format(
                'SELECT * %s AND ctid = ANY ($1) AND tableoid::text || ctid::text = ANY ($2) ORDER BY (%s) + 0',
                matching, distance) USING tids, places;
            RETURN;
        END IF;
    END IF;
    -- What is added keeps an approximate index from serving the order.
    RETURN QUERY EXECUTE format('SELECT * %s ORDER BY (%s) + 0 LIMIT %s', matching, distance, k);
END $$;

-- ---- Keys ----

-- Makes tokens count that are signed with this key and name it in "kid" (or name none, if it has no name).
CREATE FUNCTION tamis.set_key(key bytea, id text DEFAULT '') RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO tamis.key (id, key) VALUES (id, key)
        ON CONFLICT ON CONSTRAINT key_pkey DO UPDATE SET key = excluded.key, added_at = now()
$$;
CREATE FUNCTION tamis.drop_key(id text DEFAULT '') RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM tamis.key k WHERE k.id = drop_key.id
$$;

-- ---- Who may do what ----

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tamis FROM PUBLIC;
GRANT USAGE ON SCHEMA tamis TO PUBLIC;
-- Without these nobody could ask anything of a protected table.
GRANT EXECUTE ON FUNCTION tamis.allowed(text, text, "any"), tamis.decided(text, text, "any"),
    tamis.admitted(text, text, "any"), tamis.allowed(text, text), tamis.decided(text, text), tamis.admitted(text, text),
    tamis.request(), tamis.last_error(text),
    tamis.condition(regclass), tamis.condition_of(text, text, text[], oid[]), tamis.search(anyelement, name, text, integer, text),
    tamis.protection_of(regclass), tamis.layout(regclass, text, jsonb, name, name, name, text),
    tamis.column_type(regclass, text), tamis.need_column(regclass, text, text[])
    TO PUBLIC;
GRANT SELECT ON tamis.policies TO PUBLIC;
