/**
 * What the gateway serves: an immutable snapshot of models, replicas and keys. A reload makes a new one. Requests in flight keep theirs, and the
 * replicas that both have keep their connections and their health.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { GatewayConfig, KeyHolder, ModelConfig } from "./GatewayConfig.ts"
import { probe, Replica } from "./Replica.ts"
import { Member, ReplicaPool } from "./ReplicaPool.ts"

/** A model and its replicas. */
export interface Model {
  readonly config: ModelConfig
  readonly pool: ReplicaPool
}

/** A snapshot. */
export interface Snapshot {
  readonly config: GatewayConfig
  /** By name and alias. */
  readonly models: ReadonlyMap<string, Model>
  /** By digest. Changes of keys are seen in every snapshot. */
  readonly keys: ReadonlyMap<string, KeyHolder>
  /** Maximum size of a request's body for any model. */
  readonly maxBodyBytes: number
}

/** The model of a name that a key may use. */
export const findModel = ({ models }: Snapshot, holder: KeyHolder, name: string): Model | undefined => {
  const model = models.get(name)
  return model !== undefined && (holder.models === undefined || holder.models.has(model.config.id)) ? model : undefined
}

/** Names of the models that a key may use. */
export const modelsOf = ({ config: { models } }: Snapshot, holder: KeyHolder): ReadonlyArray<string> =>
  models.filter(({ id }) => holder.models?.has(id) !== false).flatMap(({ aliases, name }) => [name, ...aliases])

const snapshotOf = (config: GatewayConfig, models: Snapshot["models"], keys: Snapshot["keys"]): Snapshot => ({
  config,
  models,
  keys,
  maxBodyBytes: Math.max(config.maxBodyBytes, ...config.models.map((model) => model.maxBodyBytes))
})

// Replicas that are no longer configured are closed when their last request ends; checked at this interval, in milliseconds.
const closing = 1000

/** Holds the current snapshot. */
export class Registry {
  #snapshot: Snapshot
  #replicas = new Map<string, { readonly replica: Replica; readonly scope: Scope.Closeable }>()
  #keys = new Map<string, KeyHolder>()
  // The keys of the database, by their ids: one for each secret.
  readonly #stored = new Map<string, ReadonlyArray<KeyHolder>>()

  private constructor(config: GatewayConfig) {
    this.#loadKeys(config)
    this.#snapshot = snapshotOf(config, new Map(), this.#keys)
  }

  get snapshot(): Snapshot {
    return this.#snapshot
  }

  /** The replicas in use, with the models that they serve. */
  get replicas(): ReadonlyArray<Replica> {
    return [...this.#replicas.values()].map(({ replica }) => replica)
  }

  static readonly make = (config: GatewayConfig): Effect.Effect<Registry, never, Scope.Scope> =>
    Effect.gen(function* () {
      const registry = yield* Effect.acquireRelease(
        Effect.sync(() => new Registry(config)),
        (registry) => registry.#close
      )
      yield* registry.load(config)
      return registry
    })

  /** Replaces the keys of the database with these ids. A key has one holder for each of its secrets; none if it is not valid. */
  patchKeys(changed: Iterable<readonly [id: string, holders: ReadonlyArray<KeyHolder>]>): void {
    for (const [id, holders] of changed) {
      for (const { sha256 } of this.#stored.get(id) ?? []) {
        // A key of the file stays, if it has the same secret.
        if (this.#keys.get(sha256)?.id === id) this.#keys.delete(sha256)
      }
      if (holders.length === 0) this.#stored.delete(id)
      else this.#stored.set(id, holders)
      for (const holder of holders) if (!this.#keys.has(holder.sha256)) this.#keys.set(holder.sha256, holder)
    }
  }

  #loadKeys(config: GatewayConfig): void {
    this.#keys = new Map(config.keys.map((key) => [key.sha256, key]))
    for (const holder of [...this.#stored.values()].flat()) if (!this.#keys.has(holder.sha256)) this.#keys.set(holder.sha256, holder)
  }

  /** Replaces the snapshot. A model whose settings are the same object keeps its queue. */
  readonly load = (config: GatewayConfig): Effect.Effect<void> =>
    Effect.gen({ self: this }, function* () {
      const before = this.#replicas
      const now: typeof before = new Map()
      const models = new Map<string, Model>()
      const known = new Map([...this.#snapshot.models.values()].map((model) => [model.config, model]))
      for (const model of config.models) {
        const members: Array<Member> = []
        for (const target of model.replicas) {
          const { origin } = target.url
          // The settings of a connection and of a probe are those of the first model that uses the origin.
          const id = `${origin} ${model.timeouts.connect} ${model.health.path} ${model.health.interval}`
          let used = now.get(id) ?? before.get(id)
          if (used === undefined) {
            const scope = yield* Scope.make()
            used = { replica: new Replica(origin, model.timeouts.connect), scope }
            yield* Effect.provideService(probe(used.replica, target.apiKey, model.health), Scope.Scope, scope)
          }
          now.set(id, used)
          members.push(new Member(used.replica, target))
        }
        const entry: Model = known.get(model) ?? { config: model, pool: new ReplicaPool(members, model.queue) }
        for (const name of [model.name, ...model.aliases]) models.set(name, entry)
      }
      this.#replicas = now
      if (config.keys !== this.#snapshot.config.keys) this.#loadKeys(config)
      this.#snapshot = snapshotOf(config, models, this.#keys)
      for (const [id, { replica, scope }] of before) {
        if (now.has(id)) continue
        yield* Scope.close(scope, Exit.void)
        yield* Effect.forkDetach(
          Effect.andThen(
            Effect.whileLoop({ while: () => replica.inFlight > 0, body: () => Effect.sleep(closing), step: () => undefined }),
            Effect.promise(() => replica.dispatcher.close())
          )
        )
      }
    })

  get #close(): Effect.Effect<void> {
    return Effect.forEach(
      this.#replicas.values(),
      ({ replica, scope }) =>
        Effect.andThen(
          Scope.close(scope, Exit.void),
          Effect.promise(() => replica.dispatcher.destroy())
        ),
      { discard: true }
    )
  }
}
