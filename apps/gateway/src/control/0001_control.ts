/** Models, keys, teams, limits, prices, and who changed them. The same columns in SQLite and PostgreSQL: times are milliseconds since 1970. */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

const statements = (bytes: "BLOB" | "BYTEA"): ReadonlyArray<string> => [
  "CREATE TABLE revision (n BIGINT NOT NULL)",
  "INSERT INTO revision (n) VALUES (0)",
  // `n` is the revision of the change's transaction: the lock of its row makes the order of commits that of `n`.
  `CREATE TABLE change (n BIGINT NOT NULL, entity TEXT NOT NULL, entity_id TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (n, entity, entity_id))`,

  `CREATE TABLE team (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, name_fold TEXT NOT NULL, enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    all_models BIGINT NOT NULL CHECK (all_models IN (0, 1)), archived_at BIGINT, version BIGINT NOT NULL
  )`,
  "CREATE UNIQUE INDEX team_name ON team (name_fold) WHERE archived_at IS NULL",

  `CREATE TABLE key (
    id TEXT PRIMARY KEY, team_id TEXT REFERENCES team (id) ON DELETE RESTRICT, name TEXT NOT NULL, owner TEXT,
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)), all_models BIGINT NOT NULL CHECK (all_models IN (0, 1)), expires_at BIGINT,
    revoked_at BIGINT, end_user_header BIGINT NOT NULL CHECK (end_user_header IN (0, 1)), metadata TEXT NOT NULL,
    created_by TEXT NOT NULL, created_at BIGINT NOT NULL, archived_at BIGINT, version BIGINT NOT NULL
  )`,
  "CREATE UNIQUE INDEX key_name ON key (COALESCE(team_id, ''), name) WHERE archived_at IS NULL",
  "CREATE INDEX key_team ON key (team_id)",

  // The secret itself is nowhere: a row has its SHA-256, and the beginning that a list shows.
  `CREATE TABLE key_secret (
    digest ${bytes} PRIMARY KEY, key_id TEXT NOT NULL REFERENCES key (id), start TEXT NOT NULL, created_at BIGINT NOT NULL, valid_until BIGINT
  )`,
  "CREATE INDEX key_secret_key ON key_secret (key_id)",

  `CREATE TABLE model (
    id TEXT PRIMARY KEY, enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)), settings TEXT NOT NULL, archived_at BIGINT, version BIGINT NOT NULL
  )`,
  `CREATE TABLE model_name (
    name TEXT PRIMARY KEY, model_id TEXT NOT NULL REFERENCES model (id), kind TEXT NOT NULL CHECK (kind IN ('name', 'alias', 'former')),
    freed_at BIGINT
  )`,
  "CREATE INDEX model_name_model ON model_name (model_id)",
  `CREATE TABLE replica (
    id TEXT PRIMARY KEY, model_id TEXT NOT NULL REFERENCES model (id), base_url TEXT NOT NULL, remote_name TEXT NOT NULL,
    weight BIGINT NOT NULL CHECK (weight > 0), state TEXT NOT NULL CHECK (state IN ('on', 'draining', 'off')), credential_ref TEXT,
    max_concurrent BIGINT, version BIGINT NOT NULL, UNIQUE (model_id, base_url, remote_name)
  )`,

  "CREATE TABLE key_model (key_id TEXT NOT NULL REFERENCES key (id), model_id TEXT NOT NULL, PRIMARY KEY (key_id, model_id))",
  "CREATE INDEX key_model_model ON key_model (model_id)",
  "CREATE TABLE team_model (team_id TEXT NOT NULL REFERENCES team (id), model_id TEXT NOT NULL, PRIMARY KEY (team_id, model_id))",
  "CREATE INDEX team_model_model ON team_model (model_id)",

  `CREATE TABLE limit_rule (
    id TEXT PRIMARY KEY, scope TEXT NOT NULL CHECK (scope IN ('key', 'team', 'model')), scope_id TEXT NOT NULL, model_id TEXT NOT NULL,
    kind TEXT NOT NULL, amount BIGINT NOT NULL CHECK (amount >= 0), mode TEXT NOT NULL CHECK (mode IN ('enforce', 'report')),
    version BIGINT NOT NULL, UNIQUE (scope, scope_id, model_id, kind)
  )`,

  // Micro-units of the currency for a million tokens.
  `CREATE TABLE price (
    model_id TEXT NOT NULL, valid_from BIGINT NOT NULL, input BIGINT NOT NULL CHECK (input >= 0),
    cached BIGINT NOT NULL CHECK (cached >= 0), output BIGINT NOT NULL CHECK (output >= 0), PRIMARY KEY (model_id, valid_from)
  )`,

  `CREATE TABLE audit (
    seq BIGINT PRIMARY KEY, at BIGINT NOT NULL, actor TEXT NOT NULL, via TEXT NOT NULL, address TEXT, action TEXT NOT NULL, entity TEXT NOT NULL,
    entity_id TEXT NOT NULL, before TEXT, after TEXT, prev_hash TEXT NOT NULL, hash TEXT NOT NULL
  )`,
  "CREATE INDEX audit_entity ON audit (entity, entity_id)",

  `CREATE TABLE admin (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest ${bytes} NOT NULL UNIQUE, role TEXT NOT NULL CHECK (role IN ('admin', 'viewer', 'team_admin')),
    team_id TEXT REFERENCES team (id), expires_at BIGINT
  )`,
  `CREATE TABLE session (
    digest ${bytes} PRIMARY KEY, admin_id TEXT NOT NULL, expires_at BIGINT NOT NULL, last_seen BIGINT NOT NULL
  )`,
  `CREATE TABLE idempotency (
    admin_id TEXT NOT NULL, key TEXT NOT NULL, body_hash TEXT NOT NULL, result_id TEXT NOT NULL, expires_at BIGINT NOT NULL,
    PRIMARY KEY (admin_id, key)
  )`
]

const triggers = {
  sqlite: ["UPDATE", "DELETE"].map(
    (event) =>
      `CREATE TRIGGER audit_${event.toLowerCase()} BEFORE ${event} ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END`
  ),
  pg: [
    `CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$`,
    "CREATE TRIGGER audit_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()"
  ]
}

export const migration = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const all = sql.onDialectOrElse({
    pg: () => [...statements("BYTEA"), ...triggers.pg],
    orElse: () => [...statements("BLOB"), ...triggers.sqlite]
  })
  yield* Effect.forEach(all, (statement) => sql.unsafe(statement), { discard: true })
})
