/**
 * The frame of every change: one transaction that writes the objects, the revision, what changed, and the audit log.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { hash } from "node:crypto"
import { Conflict, type ControlError, Unavailable, VersionMismatch } from "./ControlError.ts"

/** Who changes something. */
export interface Actor {
  readonly id: string
  readonly name: string
  /** `api`, `page` or `cli`. */
  readonly via: string
  readonly address?: string | undefined
}

/** What a change did, for the audit log. Neither side has a secret. */
export interface Change {
  readonly action: "create" | "update" | "archive" | "delete" | "rotate" | "revoke"
  readonly entity: "team" | "key" | "model" | "replica" | "limit" | "price" | "admin"
  readonly id: string
  readonly before?: unknown
  readonly after?: unknown
}

/** A result, and the change that made it; no change if everything was so already. */
export type Changed<A> = readonly [result: A, change: Change | undefined]

/** Fails if a caller read another version than the one that is there. */
export const checkVersion = (expected: number | undefined, version: number): Effect.Effect<void, VersionMismatch> =>
  expected === undefined || expected === version
    ? Effect.void
    : Effect.fail(
        new VersionMismatch({ detail: `The object was changed: it has version ${version}, not ${expected}. Read it again.`, version })
      )

const textOf = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value))

/** The hash of an entry of the audit log, which covers the hash of the entry before. */
export const auditHash = (entry: Readonly<Record<string, unknown>>): string =>
  hash(
    "sha256",
    JSON.stringify(
      ["seq", "at", "actor", "via", "address", "action", "entity", "entity_id", "before", "after", "prev_hash"].map((name) =>
        String(entry[name])
      )
    ),
    "hex"
  )

const unavailable = ({ reason }: SqlError) =>
  Effect.andThen(
    Effect.logWarning(`The database of the control plane failed: ${reason._tag}`),
    Effect.fail(new Unavailable({ detail: "The database does not answer. Try again later." }))
  )

/** Failures of the database, when something is read, as `Unavailable`. */
export const orUnavailable = <A, E, R>(
  effect: Effect.Effect<A, E | SqlError, R>
): Effect.Effect<A, Exclude<E, SqlError> | Unavailable, R> =>
  Effect.catchIf(effect, isSqlError, unavailable) as Effect.Effect<A, Exclude<E, SqlError> | Unavailable, R>

const orConflict = <A, R>(effect: Effect.Effect<A, ControlError | SqlError, R>): Effect.Effect<A, ControlError, R> =>
  Effect.catch(effect, (error): Effect.Effect<never, ControlError> => {
    if (error._tag !== "SqlError") return Effect.fail(error)
    const { _tag } = error.reason
    return _tag === "UniqueViolation" || _tag === "ConstraintError"
      ? Effect.fail(new Conflict({ detail: "Another object has this name already, or the object has just been changed." }))
      : unavailable(error)
  })

/** Runs a change. */
export const change = <A>(
  sql: SqlClient.SqlClient,
  actor: Actor,
  run: (now: number) => Effect.Effect<Changed<A>, ControlError | SqlError>
): Effect.Effect<A, ControlError> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    // Its row is locked until the transaction ends: changes are in the order of their revisions.
    const [revision] = yield* sql<{ n: bigint }>`UPDATE revision SET n = n + 1 RETURNING n`
    const [result, done] = yield* run(now)
    if (done === undefined) return result
    const { action, after, before, entity, id } = done
    yield* sql`INSERT INTO change ${sql.insert({ n: revision?.n ?? 0n, entity, entity_id: id, at: now })}`
    const [last] = yield* sql<{ seq: bigint; hash: string }>`SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`
    const entry = {
      seq: Number(last?.seq ?? 0n) + 1,
      at: now,
      actor: actor.name,
      via: actor.via,
      address: actor.address ?? null,
      action,
      entity,
      entity_id: id,
      before: textOf(before),
      after: textOf(after),
      prev_hash: last?.hash ?? ""
    }
    yield* sql`INSERT INTO audit ${sql.insert({ ...entry, hash: auditHash(entry) })}`
    return result
  }).pipe(sql.withTransaction, orConflict)
