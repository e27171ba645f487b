/**
 * Teams.
 */
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { type Actor, change, checkVersion, orUnavailable } from "./Changes.ts"
import { type ControlError, InUse, NotFound, type Unavailable } from "./ControlError.ts"
import type { NewTeam, Team, TeamPatch } from "./Entity.ts"
import type { ModelNames } from "./ModelNames.ts"
import { fromBoolean, listed, type Page, type PageRequest, readPage, toBoolean, toNumber, toNumberOrNull } from "./Rows.ts"

interface TeamRow {
  readonly id: string
  readonly name: string
  readonly enabled: bigint
  readonly all_models: bigint
  readonly archived_at: bigint | null
  readonly version: bigint
}

const columns = "id, name, enabled, all_models, archived_at, version"

export class TeamStore {
  readonly #sql: SqlClient.SqlClient
  readonly #names: ModelNames

  constructor(sql: SqlClient.SqlClient, names: ModelNames) {
    this.#sql = sql
    this.#names = names
  }

  #toTeams(rows: ReadonlyArray<TeamRow>): Effect.Effect<ReadonlyArray<Team>, SqlError> {
    return Effect.map(
      this.#names.grantsOf(
        "team",
        rows.map(({ id }) => id)
      ),
      (grants) =>
        rows.map(({ all_models, archived_at, enabled, id, name, version }) => ({
          id,
          name,
          enabled: toBoolean(enabled),
          allModels: toBoolean(all_models),
          models: grants.get(id) ?? [],
          archivedAt: toNumberOrNull(archived_at),
          version: toNumber(version)
        }))
    )
  }

  /** `within` is the only team that the caller may see. */
  #find(id: string, within?: string): Effect.Effect<Team, NotFound | SqlError> {
    const sql = this.#sql
    const only = within === undefined ? sql`` : sql` AND id = ${within}`
    return sql<TeamRow>`SELECT ${sql.literal(columns)} FROM team WHERE id = ${id}${only}`.pipe(
      Effect.flatMap((rows) => this.#toTeams(rows)),
      Effect.flatMap(([team]) => (team === undefined ? Effect.fail(NotFound.of("team", id)) : Effect.succeed(team)))
    )
  }

  get(id: string, within?: string): Effect.Effect<Team, NotFound | Unavailable> {
    return orUnavailable(this.#find(id, within))
  }

  list(request: PageRequest = {}, within?: string): Effect.Effect<Page<Team>, Unavailable> {
    const sql = this.#sql
    const where = [
      ...(within === undefined ? [] : [sql`id = ${within}`]),
      ...listed(sql, request, (pattern) => sql`name_fold LIKE ${pattern} ESCAPE '\\'`)
    ]
    return readPage<TeamRow, Team>(sql, request, { table: "team", columns, where }, (rows) => this.#toTeams(rows))
  }

  create(actor: Actor, { allModels, enabled = true, models, name }: typeof NewTeam.Type): Effect.Effect<Team, ControlError> {
    const sql = this.#sql
    return change(sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const id = uuidV7Unsafe()
        const granted = yield* this.#names.idsOf(models ?? [])
        const all_models = fromBoolean(allModels ?? models === undefined)
        yield* sql`INSERT INTO team ${sql.insert({ id, name, name_fold: name.toLowerCase(), enabled: fromBoolean(enabled), all_models, version: 1 })}`
        yield* this.#names.grant("team", id, granted)
        const team = yield* this.#find(id)
        return [team, { action: "create", entity: "team", id, after: team }] as const
      })
    )
  }

  update(actor: Actor, id: string, patch: typeof TeamPatch.Type, expected?: number): Effect.Effect<Team, ControlError> {
    const sql = this.#sql
    return change(sql, actor, () =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#find(id)
        yield* checkVersion(expected, before.version)
        if (before.archivedAt !== null) return yield* NotFound.of("team", id)
        const next = { ...before, ...patch }
        const granted = yield* this.#names.idsOf(next.models)
        yield* sql`UPDATE team SET ${sql.update({
          name: next.name,
          name_fold: next.name.toLowerCase(),
          enabled: fromBoolean(next.enabled),
          all_models: fromBoolean(next.allModels),
          version: before.version + 1
        })} WHERE id = ${id}`
        yield* this.#names.grant("team", id, granted)
        const after = yield* this.#find(id)
        return [after, { action: "update", entity: "team", id, before, after }] as const
      })
    )
  }

  /** Archives a team. Its keys are refused from then on. */
  archive(actor: Actor, id: string, isForced = false): Effect.Effect<Team, ControlError> {
    const sql = this.#sql
    return change(sql, actor, (now) =>
      Effect.gen({ self: this }, function* () {
        const before = yield* this.#find(id)
        if (before.archivedAt !== null) return [before, undefined] as const
        const [row] = yield* sql<{
          n: bigint
        }>`SELECT COUNT(*) AS n FROM key WHERE team_id = ${id} AND archived_at IS NULL AND revoked_at IS NULL`
        const keys = toNumber(row?.n ?? 0n)
        if (keys > 0 && !isForced) {
          return yield* new InUse({
            detail: `The team has ${keys} keys, which would stop working. Use force to archive it nevertheless.`,
            dependents: { keys }
          })
        }
        yield* sql`UPDATE team SET archived_at = ${now}, version = version + 1 WHERE id = ${id}`
        const after = yield* this.#find(id)
        return [after, { action: "archive", entity: "team", id, before, after }] as const
      })
    )
  }
}
