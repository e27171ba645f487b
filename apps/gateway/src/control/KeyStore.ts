/**
 * Keys. A secret is shown once, when it is made; the database has its digest. Rights, limits and usage belong to the key, not to the secret, so that a
 * rotation changes nothing but the secret.
 */
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { hash } from "node:crypto"
import { type Actor, change, checkVersion, orUnavailable } from "./Changes.ts"
import { Conflict, type ControlError, Invalid, NotFound, type Unavailable } from "./ControlError.ts"
import type { Key, KeyPatch, MadeKey, NewKey } from "./Entity.ts"
import { digestOf, makeKeyText, startOf } from "./KeyText.ts"
import type { ModelNames } from "./ModelNames.ts"
import { fromBoolean, listed, mergePatch, type Page, type PageRequest, readPage, toBoolean, toNumber, toNumberOrNull } from "./Rows.ts"

interface KeyRow {
  readonly id: string
  readonly team_id: string | null
  readonly name: string
  readonly owner: string | null
  readonly enabled: bigint
  readonly all_models: bigint
  readonly expires_at: bigint | null
  readonly revoked_at: bigint | null
  readonly end_user_header: bigint
  readonly metadata: string
  readonly created_by: string
  readonly created_at: bigint
  readonly archived_at: bigint | null
  readonly version: bigint
}

const columns =
  "id, team_id, name, owner, enabled, all_models, expires_at, revoked_at, end_user_header, metadata, created_by, created_at, archived_at, version"

const day = 86_400_000
const maxGrace = 30 * day
const idempotencyTime = day

/** A list of keys may be that of one team. */
export interface KeyPageRequest extends PageRequest {
  readonly teamId?: string | undefined
}

export class KeyStore {
  readonly #sql: SqlClient.SqlClient
  readonly #names: ModelNames

  constructor(sql: SqlClient.SqlClient, names: ModelNames) {
    this.#sql = sql
    this.#names = names
  }

  #toKeys(rows: ReadonlyArray<KeyRow>): Effect.Effect<ReadonlyArray<Key>, SqlError> {
    const sql = this.#sql
    const ids = rows.map(({ id }) => id)
    if (ids.length === 0) return Effect.succeed([])
    return Effect.gen({ self: this }, function* () {
      const grants = yield* this.#names.grantsOf("key", ids)
      const secrets = yield* sql<{ key_id: string; start: string; created_at: bigint; valid_until: bigint | null }>`
        SELECT key_id, start, created_at, valid_until FROM key_secret WHERE ${sql.in("key_id", ids)} ORDER BY created_at`
      return rows.map((row) => ({
        id: row.id,
        teamId: row.team_id,
        name: row.name,
        owner: row.owner,
        enabled: toBoolean(row.enabled),
        allModels: toBoolean(row.all_models),
        models: grants.get(row.id) ?? [],
        expiresAt: toNumberOrNull(row.expires_at),
        revokedAt: toNumberOrNull(row.revoked_at),
        endUserHeader: toBoolean(row.end_user_header),
        metadata: JSON.parse(row.metadata) as Key["metadata"],
        secrets: secrets
          .filter(({ key_id }) => key_id === row.id)
          .map(({ created_at, start, valid_until }) => ({
            start,
            createdAt: toNumber(created_at),
            validUntil: toNumberOrNull(valid_until)
          })),
        createdBy: row.created_by,
        createdAt: toNumber(row.created_at),
        archivedAt: toNumberOrNull(row.archived_at),
        version: toNumber(row.version)
      }))
    })
  }

  #find(id: string, within?: string): Effect.Effect<Key, NotFound | SqlError> {
    const sql = this.#sql
    const only = within === undefined ? sql`` : sql` AND team_id = ${within}`
    return sql<KeyRow>`SELECT ${sql.literal(columns)} FROM key WHERE id = ${id}${only}`.pipe(
      Effect.flatMap((rows) => this.#toKeys(rows)),
      Effect.flatMap(([key]) => (key === undefined ? Effect.fail(NotFound.of("key", id)) : Effect.succeed(key)))
    )
  }

  #findLive(id: string, within?: string): Effect.Effect<Key, NotFound | SqlError> {
    return Effect.filterOrFail(
      this.#find(id, within),
      ({ archivedAt }) => archivedAt === null,
      () => NotFound.of("key", id)
    )
  }

  /** `within` is the only team whose keys the caller may see. */
  get(id: string, within?: string): Effect.Effect<Key, NotFound | Unavailable> {
    return orUnavailable(this.#find(id, within))
  }

  list(request: KeyPageRequest = {}, within?: string): Effect.Effect<Page<Key>, Unavailable> {
    const sql = this.#sql
    const where = [
      ...[within, request.teamId].flatMap((team) => (team === undefined ? [] : [sql`team_id = ${team}`])),
      ...listed(sql, request, (pattern) => sql`LOWER(name) LIKE ${pattern} ESCAPE '\\'`)
    ]
    return readPage<KeyRow, Key>(sql, request, { table: "key", columns, where }, (rows) => this.#toKeys(rows))
  }

  // The key that an earlier request with the same Idempotency-Key made.
  #repeated(actor: Actor, idempotencyKey: string | undefined, body: unknown, now: number) {
    const sql = this.#sql
    const body_hash = hash("sha256", JSON.stringify(body), "hex")
    return Effect.gen({ self: this }, function* () {
      if (idempotencyKey === undefined) return { key: undefined, remember: () => Effect.void }
      yield* sql`DELETE FROM idempotency WHERE expires_at <= ${now}`
      const [row] = yield* sql<{ body_hash: string; result_id: string }>`SELECT body_hash, result_id FROM idempotency
        WHERE admin_id = ${actor.id} AND key = ${idempotencyKey}`
      if (row !== undefined && row.body_hash !== body_hash) {
        return yield* new Conflict({ detail: "The Idempotency-Key was used for another request. Use a new one." })
      }
      const remember = (result_id: string) =>
        sql`INSERT INTO idempotency ${sql.insert({ admin_id: actor.id, key: idempotencyKey, body_hash, result_id, expires_at: now + idempotencyTime })}`
      return { key: row === undefined ? undefined : yield* this.#find(row.result_id), remember }
    })
  }

  #addSecret(keyId: string, digest: Buffer, start: string, now: number) {
    const sql = this.#sql
    return Effect.gen(function* () {
      const taken = yield* sql`SELECT 1 FROM key_secret WHERE digest = ${digest}`
      if (taken.length > 0) return yield* new Conflict({ detail: "A key has this secret already." })
      yield* sql`INSERT INTO key_secret ${sql.insert({ digest, key_id: keyId, start, created_at: now })}`
    })
  }

  /** Makes a key with a new secret, or with the digest of a secret that exists. */
  create(actor: Actor, input: typeof NewKey.Type, idempotencyKey?: string): Effect.Effect<MadeKey, ControlError> {
    const sql = this.#sql
    return change<MadeKey>(sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        const repeated = yield* this.#repeated(actor, idempotencyKey, input, now)
        if (repeated.key !== undefined) return [{ key: repeated.key, secret: null }, undefined] as const
        const {
          allModels,
          digest,
          enabled = true,
          endUserHeader = false,
          expiresAt = null,
          metadata = {},
          models,
          name,
          owner = null,
          teamId = null
        } = input
        if (teamId !== null && (yield* sql`SELECT 1 FROM team WHERE id = ${teamId} AND archived_at IS NULL`).length === 0) {
          return yield* new Invalid({ field: "teamId", detail: "There is no such team." })
        }
        const id = uuidV7Unsafe()
        const granted = yield* this.#names.idsOf(models ?? [])
        yield* sql`INSERT INTO key ${sql.insert({
          id,
          team_id: teamId,
          name,
          owner,
          enabled: fromBoolean(enabled),
          all_models: fromBoolean(allModels ?? models === undefined),
          expires_at: expiresAt,
          end_user_header: fromBoolean(endUserHeader),
          metadata: JSON.stringify(metadata),
          created_by: actor.name,
          created_at: now,
          version: 1
        })}`
        yield* this.#names.grant("key", id, granted)
        const secret = digest === undefined ? makeKeyText("pdk_") : null
        yield* this.#addSecret(
          id,
          secret === null ? Buffer.from(digest ?? "", "hex") : digestOf(secret),
          secret === null ? "imported" : startOf(secret),
          now
        )
        yield* repeated.remember(id)
        const key = yield* this.#find(id)
        return [
          { key, secret },
          { action: "create", entity: "key", id, after: key }
        ] as const
      })
    )
  }

  #write(before: Key, next: Key) {
    const sql = this.#sql
    return Effect.gen({ self: this }, function* () {
      const granted = yield* this.#names.idsOf(next.models)
      yield* sql`UPDATE key SET ${sql.update({
        name: next.name,
        owner: next.owner,
        enabled: fromBoolean(next.enabled),
        all_models: fromBoolean(next.allModels),
        expires_at: next.expiresAt,
        revoked_at: next.revokedAt,
        archived_at: next.archivedAt,
        end_user_header: fromBoolean(next.endUserHeader),
        metadata: JSON.stringify(next.metadata),
        version: before.version + 1
      })} WHERE id = ${before.id}`
      yield* this.#names.grant("key", before.id, granted)
      return yield* this.#find(before.id)
    })
  }

  update(actor: Actor, id: string, patch: typeof KeyPatch.Type, expected?: number, within?: string): Effect.Effect<Key, ControlError> {
    return change<Key>(this.#sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#findLive(id, within)
        yield* checkVersion(expected, before.version)
        const metadata = mergePatch(before.metadata, patch.metadata ?? {})
        const after = yield* this.#write(before, { ...before, ...patch, metadata })
        return [after, { action: "update", entity: "key", id, before, after }] as const
      })
    )
  }

  /** Gives a key a new secret. The old ones stay valid for `grace` milliseconds. */
  rotate(actor: Actor, id: string, grace = 0, idempotencyKey?: string, within?: string): Effect.Effect<MadeKey, ControlError> {
    const sql = this.#sql
    return change<MadeKey>(sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        if (!(grace >= 0 && grace <= maxGrace)) {
          return yield* new Invalid({ field: "grace", detail: "The time of grace is between 0 and 30 days, in milliseconds." })
        }
        const before = yield* this.#findLive(id, within)
        const repeated = yield* this.#repeated(actor, idempotencyKey, { rotate: id, grace }, now)
        if (repeated.key !== undefined) return [{ key: repeated.key, secret: null }, undefined] as const
        const until = now + grace
        yield* sql`UPDATE key_secret SET valid_until = ${until} WHERE key_id = ${id} AND (valid_until IS NULL OR valid_until > ${until})`
        const secret = makeKeyText("pdk_")
        yield* this.#addSecret(id, digestOf(secret), startOf(secret), now)
        yield* sql`UPDATE key SET version = version + 1 WHERE id = ${id}`
        yield* repeated.remember(id)
        const key = yield* this.#find(id)
        return [
          { key, secret },
          { action: "rotate", entity: "key", id, before, after: key }
        ] as const
      })
    )
  }

  /** Ends a key. Its streams end, too. */
  revoke(actor: Actor, id: string, within?: string): Effect.Effect<Key, ControlError> {
    return change<Key>(this.#sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#findLive(id, within)
        if (before.revokedAt !== null) return [before, undefined] as const
        const after = yield* this.#write(before, { ...before, revokedAt: now })
        return [after, { action: "revoke", entity: "key", id, before, after }] as const
      })
    )
  }

  /** Archives a key, which ends it. Its usage keeps its name. */
  archive(actor: Actor, id: string, within?: string): Effect.Effect<Key, ControlError> {
    return change<Key>(this.#sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#find(id, within)
        if (before.archivedAt !== null) return [before, undefined] as const
        const after = yield* this.#write(before, { ...before, archivedAt: now, revokedAt: before.revokedAt ?? now })
        return [after, { action: "archive", entity: "key", id, before, after }] as const
      })
    )
  }
}
