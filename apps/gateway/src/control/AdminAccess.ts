/**
 * Who administers the gateway: the administrator of the configuration, those of the database, and the sessions of pages.
 */
import * as Clock from "effect/Clock"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import { timingSafeEqual } from "node:crypto"
import type { Admin, Role } from "./AdminApi.ts"
import { type Actor, change, orUnavailable } from "./Changes.ts"
import { Conflict, type ControlError, Invalid, NotFound, type Unavailable } from "./ControlError.ts"
import { digestOf, makeKeyText } from "./KeyText.ts"
import { toNumberOrNull } from "./Rows.ts"

const hour = 3_600_000
/** A session ends after this time, in milliseconds, and after a quarter of it without a request. */
export const sessionTime = 12 * hour
const idleTime = 3 * hour
// The time of the last request is written no more often than this.
const seenInterval = 60_000

interface AdminRow {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly team_id: string | null
  readonly expires_at: bigint | null
}

const toAdmin = ({ expires_at, id, name, role, team_id }: AdminRow): Admin => ({
  id,
  name,
  role,
  teamId: team_id,
  expiresAt: toNumberOrNull(expires_at)
})

const root: Admin = { id: "root", name: "root", role: "admin", teamId: null, expiresAt: null }

export class AdminAccess {
  readonly #sql: SqlClient.SqlClient
  readonly #root: Buffer

  constructor(sql: SqlClient.SqlClient, rootSecret: string) {
    this.#sql = sql
    this.#root = digestOf(rootSecret)
  }

  /** The administrator of a secret. */
  bySecret(secret: string): Effect.Effect<Admin | undefined, Unavailable> {
    const digest = digestOf(secret)
    if (timingSafeEqual(digest, this.#root)) return Effect.succeed(root)
    const sql = this.#sql
    return orUnavailable(
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const [row] = yield* sql<AdminRow>`SELECT id, name, role, team_id, expires_at FROM admin WHERE digest = ${digest}`
        const admin = row === undefined ? undefined : toAdmin(row)
        return admin?.expiresAt != null && admin.expiresAt <= now ? undefined : admin
      })
    )
  }

  /** Begins a session. Returns the text of its cookie. */
  open(admin: Admin): Effect.Effect<string, Unavailable> {
    const sql = this.#sql
    const text = makeKeyText("pda_")
    return orUnavailable(
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        yield* sql`DELETE FROM session WHERE expires_at <= ${now} OR last_seen <= ${now - idleTime}`
        const row = { digest: digestOf(text), admin_id: admin.id, expires_at: now + sessionTime, last_seen: now }
        yield* sql`INSERT INTO session ${sql.insert(row)}`
        return text
      })
    )
  }

  /** The administrator of a session. */
  bySession(text: string): Effect.Effect<Admin | undefined, Unavailable> {
    const sql = this.#sql
    const digest = digestOf(text)
    return orUnavailable(
      Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const [session] = yield* sql<{ admin_id: string; last_seen: bigint }>`SELECT admin_id, last_seen FROM session
          WHERE digest = ${digest} AND expires_at > ${now} AND last_seen > ${now - idleTime}`
        if (session === undefined) return undefined
        if (Number(session.last_seen) + seenInterval <= now) yield* sql`UPDATE session SET last_seen = ${now} WHERE digest = ${digest}`
        if (session.admin_id === root.id) return root
        const [row] = yield* sql<AdminRow>`SELECT id, name, role, team_id, expires_at FROM admin
          WHERE id = ${session.admin_id} AND (expires_at IS NULL OR expires_at > ${now})`
        return row === undefined ? undefined : toAdmin(row)
      })
    )
  }

  /** Ends a session. */
  close(text: string): Effect.Effect<void, Unavailable> {
    const sql = this.#sql
    return orUnavailable(Effect.asVoid(sql`DELETE FROM session WHERE digest = ${digestOf(text)}`))
  }

  get list(): Effect.Effect<ReadonlyArray<Admin>, Unavailable> {
    const sql = this.#sql
    return orUnavailable(
      Effect.map(sql<AdminRow>`SELECT id, name, role, team_id, expires_at FROM admin ORDER BY name`, (rows) => [root, ...rows.map(toAdmin)])
    )
  }

  /** Makes an administrator. The secret is shown once. */
  create(
    actor: Actor,
    input: { readonly name: string; readonly role: Role; readonly teamId?: string; readonly expiresAt?: number }
  ): Effect.Effect<{ readonly admin: Admin; readonly secret: string }, ControlError> {
    const sql = this.#sql
    const { expiresAt = null, name, role, teamId = null } = input
    return change<{ readonly admin: Admin; readonly secret: string }>(sql, actor, () =>
      Effect.gen(function* () {
        if ((role === "team_admin") !== (teamId !== null)) {
          return yield* new Invalid({ field: "teamId", detail: "A team_admin has a team, and nobody else has one." })
        }
        if (teamId !== null && (yield* sql`SELECT 1 FROM team WHERE id = ${teamId} AND archived_at IS NULL`).length === 0) {
          return yield* new Invalid({ field: "teamId", detail: "There is no such team." })
        }
        if (name === root.name) return yield* new Conflict({ detail: "This name is that of the configuration's administrator." })
        const secret = makeKeyText("pda_")
        const id = uuidV7Unsafe()
        yield* sql`INSERT INTO admin ${sql.insert({ id, name, role, team_id: teamId, expires_at: expiresAt, digest: digestOf(secret) })}`
        const admin: Admin = { id, name, role, teamId, expiresAt }
        return [
          { admin, secret },
          { action: "create", entity: "admin", id, after: admin }
        ] as const
      })
    )
  }

  /** Removes an administrator and ends the sessions. */
  remove(actor: Actor, id: string): Effect.Effect<Admin, ControlError> {
    const sql = this.#sql
    return change<Admin>(sql, actor, () =>
      Effect.gen(function* () {
        const [row] = yield* sql<AdminRow>`SELECT id, name, role, team_id, expires_at FROM admin WHERE id = ${id}`
        if (row === undefined) return yield* NotFound.of("administrator", id)
        yield* sql`DELETE FROM session WHERE admin_id = ${id}`
        yield* sql`DELETE FROM admin WHERE id = ${id}`
        const before = toAdmin(row)
        return [before, { action: "delete", entity: "admin", id, before }] as const
      })
    )
  }
}
