/**
 * The audit log: who changed what, when, and from where. Entries are chained by their hashes, so that a missing or changed one shows.
 */
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import { auditHash, orUnavailable } from "./Changes.ts"
import type { Unavailable } from "./ControlError.ts"
import type { AuditEntry } from "./Entity.ts"
import { type Page, pageLimit, type PageRequest, toNumber, toPage } from "./Rows.ts"

interface AuditRow {
  readonly seq: bigint
  readonly at: bigint
  readonly actor: string
  readonly via: string
  readonly address: string | null
  readonly action: string
  readonly entity: string
  readonly entity_id: string
  readonly before: string | null
  readonly after: string | null
  readonly prev_hash: string
  readonly hash: string
}

const toEntry = ({ at, entity_id, prev_hash, seq, ...row }: AuditRow): AuditEntry => ({
  ...row,
  seq: toNumber(seq),
  at: toNumber(at),
  entityId: entity_id,
  prevHash: prev_hash
})

export interface AuditPageRequest extends PageRequest {
  readonly entity?: string | undefined
  readonly entityId?: string | undefined
}

export class AuditLog {
  readonly #sql: SqlClient.SqlClient

  constructor(sql: SqlClient.SqlClient) {
    this.#sql = sql
  }

  /** The newest entries first. */
  list(request: AuditPageRequest = {}): Effect.Effect<Page<AuditEntry>, Unavailable> {
    const sql = this.#sql
    const limit = pageLimit(request)
    const after = Number(request.after ?? Number.MAX_SAFE_INTEGER)
    const conditions = [sql`seq < ${Number.isSafeInteger(after) ? after : 0}`]
    if (request.entity !== undefined) conditions.push(sql`entity = ${request.entity}`)
    if (request.entityId !== undefined) conditions.push(sql`entity_id = ${request.entityId}`)
    return sql<AuditRow>`SELECT * FROM audit WHERE ${sql.and(conditions)} ORDER BY seq DESC LIMIT ${limit + 1}`.pipe(
      Effect.map((rows) => toPage(rows.map(toEntry), limit, ({ seq }) => String(seq))),
      orUnavailable
    )
  }

  /** The first entry that does not follow from the one before it; `undefined` if all do. */
  get broken(): Effect.Effect<number | undefined, Unavailable> {
    const sql = this.#sql
    return orUnavailable(
      Effect.gen(function* () {
        let [seq, hash] = [0, ""]
        for (;;) {
          const rows = yield* sql<AuditRow>`SELECT * FROM audit WHERE seq > ${seq} ORDER BY seq LIMIT 1000`
          if (rows.length === 0) return undefined
          for (const row of rows) {
            const isNext = toNumber(row.seq) === seq + 1 || seq === 0
            if (!isNext || (seq > 0 && row.prev_hash !== hash) || auditHash({ ...row }) !== row.hash) return toNumber(row.seq)
            seq = toNumber(row.seq)
            hash = row.hash
          }
        }
      })
    )
  }
}
