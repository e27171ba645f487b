/**
 * Keeps a gateway at the state of the database: asks each second what changed and patches the registry. Without the database the gateway serves on
 * from its last state, and starts from the file in which it keeps that state.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { type GatewayConfig, InvalidGatewayConfig, type ModelConfig, toModel } from "../GatewayConfig.ts"
import type { Registry } from "../Registry.ts"
import type { Unavailable } from "./ControlError.ts"
import { ControlStore } from "./ControlStore.ts"
import { type Changes, ControlReader } from "./ControlReader.ts"
import { ServedState, type StoredModel, type StoredState } from "./ServedState.ts"
import { migrate, SchemaMismatch } from "./Migrations.ts"
import { toUnavailable, within } from "./Sql.ts"
import { StateFile } from "./StateFile.ts"

/** How a gateway gets the state of the database. */
export interface ControlOptions {
  readonly sql: Layer.Layer<SqlClient.SqlClient, SqlError>
  /** The file from which the gateway starts when the database does not answer. */
  readonly stateFile: string
}

/**
 * `starting`: nothing is known yet. `degraded`: the database does not answer, the last state serves.
 */
export type ControlStatus = "starting" | "ok" | "degraded"

const pollInterval = "1 second"
const pollTimeout = "3 seconds"
const startTimeout = "1 minute"

const namesOf = ({ aliases, name }: Pick<StoredModel, "name" | "aliases">) => [name, ...aliases]

// Neither the URL of the database nor a statement, which a log would keep.
const reasonOf = (error: unknown): string => (isSqlError(error) ? error.reason._tag : error instanceof Error ? error.name : "unknown")

/** Every name and alias of a configuration, with the name of its model. */
export const fileModels = ({ models }: GatewayConfig): ReadonlyMap<string, string> =>
  new Map(models.flatMap((model) => namesOf(model).map((name) => [name, model.name] as const)))

/** The names of a configuration that a model of the database has, too. */
const conflicts = (config: GatewayConfig, models: Iterable<StoredModel>): ReadonlyMap<string, string> => {
  const owned = new Set(config.models.flatMap(namesOf))
  const found = new Map<string, string>()
  for (const model of models) {
    for (const name of namesOf(model)) if (owned.has(name)) found.set(model.id, name)
  }
  return found
}

export class ControlPlane {
  readonly #registry: Registry
  readonly #reader: ControlReader
  readonly #polls = Semaphore.makeUnsafe(1)
  readonly #file: StateFile
  readonly #state = new ServedState()
  readonly #models = new Map<string, ModelConfig>()
  #config: GatewayConfig
  #isMigrated = false
  #isAway = false
  /** When the database answered last, in milliseconds since 1970; `undefined` for never. */
  #contact: number | undefined
  status: ControlStatus = "starting"
  /** The client of the database, for the ledger and for administrators. */
  readonly sql: SqlClient.SqlClient
  /** The objects of the database, for who changes them. */
  readonly store: ControlStore

  private constructor(registry: Registry, sql: SqlClient.SqlClient, file: StateFile) {
    this.#registry = registry
    this.#config = registry.snapshot.config
    this.sql = sql
    this.#reader = new ControlReader(sql)
    this.store = new ControlStore(sql, fileModels(this.#config))
    this.#file = file
  }

  /** Starts. Fails if the database is another version's, or if a model is in the file and in the database. */
  static readonly start = Effect.fnUntraced(function* (
    registry: Registry,
    { sql, stateFile }: ControlOptions
  ): Effect.fn.Return<ControlPlane, Unavailable | SchemaMismatch | InvalidGatewayConfig, Scope.Scope> {
    const context = yield* Effect.mapError(Layer.build(sql), toUnavailable)
    const client = yield* Effect.provideContext(SqlClient.SqlClient, context)
    const plane = new ControlPlane(registry, client, new StateFile(stateFile))
    yield* plane.#begin
    yield* Effect.forkScoped(Effect.repeat(plane.refresh, Schedule.spaced(pollInterval)))
    yield* Effect.addFinalizer(() => plane.#file.flush(plane.#state))
    return plane
  })

  /** Milliseconds since the database answered; `undefined` if it never did. */
  get age(): number | undefined {
    return this.#contact === undefined ? undefined : Date.now() - this.#contact
  }

  /** The last change that is served. */
  get revision(): number {
    return this.#state.revision
  }

  /** Replaces the configuration of the file, and reads the credentials of all models again. Fails if one of its names is a model of the database. */
  readonly reload = (config: GatewayConfig): Effect.Effect<void, InvalidGatewayConfig> =>
    Effect.gen({ self: this }, function* () {
      yield* this.#checkNames(config)
      this.#config = config
      this.store.names.file = fileModels(config)
      yield* this.#serve(new Set([...this.#state.models].map(({ id }) => id)))
    }).pipe(Effect.uninterruptible, this.#polls.withPermits(1))

  get #begin(): Effect.Effect<void, SchemaMismatch | InvalidGatewayConfig> {
    return Effect.gen({ self: this }, function* () {
      const problem = yield* within(this.#connect, startTimeout).pipe(
        Effect.as(undefined),
        Effect.catchCause((cause) => {
          const error = Cause.squash(cause)
          return error instanceof SchemaMismatch ? Effect.fail(error) : Effect.succeed(reasonOf(error))
        })
      )
      if (problem !== undefined) {
        this.#isAway = true
        const saved = yield* this.#file.read
        if (saved === undefined) {
          return yield* Effect.logError(`The database does not answer (${problem}), and no state is saved: the gateway is not ready`)
        }
        yield* Effect.logError(`The database does not answer (${problem}): the gateway starts from its saved state`)
        yield* this.#load(saved)
        this.status = "degraded"
      }
      yield* this.#checkNames(this.#config)
    })
  }

  // Once: the schema, and everything.
  get #connect() {
    return Effect.gen({ self: this }, function* () {
      yield* Effect.provideService(migrate(), SqlClient.SqlClient, this.sql)
      yield* this.#load(yield* this.#reader.all)
      this.#isMigrated = true
      yield* this.#answered
      yield* this.#file.write(this.#state)
    })
  }

  get #answered() {
    return Effect.gen({ self: this }, function* () {
      if (this.#isAway) yield* Effect.logInfo("The database answers again")
      this.#isAway = false
      this.status = "ok"
      this.#contact = yield* Clock.currentTimeMillis
    })
  }

  /** Asks the database what changed, at once. Who changes something need not wait for the next poll. */
  get refresh(): Effect.Effect<void> {
    return Effect.suspend(() => (this.#isMigrated ? within(this.#patch, pollTimeout) : within(this.#connect, startTimeout))).pipe(
      this.#polls.withPermits(1),
      Effect.catchCause((cause) => {
        if (this.#isAway) return Effect.void
        this.#isAway = true
        this.status = "degraded"
        return Effect.logError(`The database does not answer (${reasonOf(Cause.squash(cause))}): the last state is served`)
      }),
      Effect.andThen(Effect.suspend(() => this.#file.flush(this.#state)))
    )
  }

  get #patch() {
    return Effect.gen({ self: this }, function* () {
      for (;;) {
        const changes = yield* this.#reader.changes(this.#state.revision)
        if (changes === "restored") {
          // Its schema may be older, too. The next poll begins anew, and has the time for it.
          this.#isMigrated = false
          return
        }
        if (changes === undefined) break
        yield* this.#apply(changes)
      }
      yield* this.#answered
    })
  }

  // As a whole: a state whose revision was counted and whose keys are not served would never be mended.
  #apply({ found, ids, revision }: Changes): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const keys = this.#state.patch(ids, found)
      if (ids.models.size > 0 || found.limits !== undefined) yield* this.#serve(ids.models)
      this.#patchKeys(keys)
      this.#state.revision = revision
      this.#file.changed()
    }).pipe(Effect.uninterruptible)
  }

  #load(state: StoredState): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const before = [...this.#state.models].map(({ id }) => id)
      const keys = this.#state.load(state)
      yield* this.#serve(new Set([...before, ...state.models.map(({ id }) => id)]))
      this.#patchKeys(keys)
    }).pipe(Effect.uninterruptible)
  }

  #patchKeys(ids: ReadonlySet<string>): void {
    this.#registry.patchKeys([...ids].map((id) => [id, this.#state.holdersOf(id)]))
  }

  #serve(changed: ReadonlySet<string>): Effect.Effect<void> {
    return Effect.andThen(
      this.#configure(changed),
      Effect.suspend(() => this.#registry.load(this.#effective))
    )
  }

  get #effective(): GatewayConfig {
    const { limits, models } = this.#config
    return { ...this.#config, models: [...models, ...this.#models.values()], limits: limits.with(this.#state.limits) }
  }

  #configure(changed: ReadonlySet<string>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      for (const id of changed) this.#models.delete(id)
      const taken = conflicts(this.#config, this.#state.models)
      for (const model of this.#state.models) {
        if (!changed.has(model.id) || !model.isEnabled) continue
        const problems: Array<string> = []
        const name = taken.get(model.id)
        if (name !== undefined) problems.push(`the configuration file has the name "${name}", too`)
        const config = yield* this.#toConfig(model, problems)
        if (problems.length === 0) this.#models.set(model.id, config)
        else yield* Effect.logError(`The model ${model.name} of the database is not served: ${problems.join("; ")}`)
      }
    })
  }

  #toConfig({ aliases, id, name, replicas, settings }: StoredModel, problems: Array<string>): Effect.Effect<ModelConfig> {
    const file = {
      ...settings,
      aliases,
      replicas: replicas.map(({ baseUrl, credential, maxConcurrent, remoteName, weight }) => ({
        baseUrl,
        name: remoteName,
        weight,
        ...(maxConcurrent === null ? {} : { maxConcurrent }),
        ...(credential === null ? {} : { apiKey: credential })
      }))
    }
    return toModel(name, file, this.#config.maxBodyBytes, (path, problem) => problems.push(`${path.slice(2).join(".")}: ${problem}`)).pipe(
      Effect.map((config) => ({ ...config, id })),
      Effect.provide(NodeFileSystem.layer)
    )
  }

  #checkNames(config: GatewayConfig): Effect.Effect<void, InvalidGatewayConfig> {
    const problems = [...conflicts(config, this.#state.models)].map(
      ([id, name]) => `models → ${name}: the model ${id} of the database has this name, too. Rename or remove one of them.`
    )
    return problems.length === 0 ? Effect.void : Effect.fail(new InvalidGatewayConfig({ file: "and its database", problems }))
  }
}
