/**
 * The objects of a database as one document, by names and without ids: for version control, for many keys at once, and to move to another database. It
 * has the digests of keys and no secret.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlClient } from "effect/sql/SqlClient"
import { type Actor, orUnavailable } from "./Changes.ts"
import { type ControlError, Invalid } from "./ControlError.ts"
import { ControlReader } from "./ControlReader.ts"
import type { ControlStore } from "./ControlStore.ts"
import { Key, Limit, Model, ModelSettings, NewReplica, Price, Team } from "./Entity.ts"
import { readAll } from "./Rows.ts"
import type { StoredKey } from "./ServedState.ts"

const { enabled, name } = Team.fields
const grants = Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))).annotateKey({
  description: "Names of models. null, the default, for all."
})

const TeamItem = Schema.Struct({ name, enabled: Schema.optionalKey(enabled), models: grants })

const KeyItem = Schema.Struct({
  name,
  team: Schema.optionalKey(Schema.NullOr(Schema.String)),
  sha256: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "64 lower-case hexadecimal digits" }))),
  models: grants,
  owner: Schema.optionalKey(Key.fields.owner),
  enabled: Schema.optionalKey(enabled),
  expiresAt: Schema.optionalKey(Key.fields.expiresAt),
  endUserHeader: Schema.optionalKey(Key.fields.endUserHeader),
  metadata: Schema.optionalKey(Key.fields.metadata)
})

const ModelItem = Schema.Struct({
  name,
  aliases: Schema.optionalKey(Model.fields.aliases),
  formerNames: Schema.optionalKey(Model.fields.formerNames),
  enabled: Schema.optionalKey(enabled),
  settings: Schema.optionalKey(ModelSettings),
  replicas: Schema.optionalKey(Schema.Array(NewReplica))
})

const LimitItem = Schema.Struct({
  scope: Limit.fields.scope,
  name: Schema.String,
  /** The team of a key. */
  team: Schema.optionalKey(Schema.NullOr(Schema.String)),
  model: Schema.optionalKey(Schema.NullOr(Schema.String)),
  kind: Limit.fields.kind,
  amount: Limit.fields.amount,
  mode: Schema.optionalKey(Limit.fields.mode)
})

const { modelId: _modelId, ...price } = Price.fields
const PriceItem = Schema.Struct({ model: Schema.String, ...price })

/** The document. */
export const ControlDocument = Schema.Struct({
  models: Schema.optionalKey(Schema.Array(ModelItem)),
  teams: Schema.optionalKey(Schema.Array(TeamItem)),
  keys: Schema.optionalKey(Schema.Array(KeyItem)),
  limits: Schema.optionalKey(Schema.Array(LimitItem)),
  prices: Schema.optionalKey(Schema.Array(PriceItem))
})
export type ControlDocument = typeof ControlDocument.Type

type Kind = "model" | "team" | "key" | "limit" | "price"

/** What `apply` does with one object. */
export interface Step {
  readonly action: "create" | "update" | "archive"
  readonly kind: Kind
  readonly name: string
  readonly run: Effect.Effect<unknown, ControlError>
}

// Objects are equal whatever the order of their fields.
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner
  )

const replicaOf = ({ baseUrl, ...replica }: typeof NewReplica.Type, model: string) => ({
  baseUrl,
  remoteName: model,
  weight: 1,
  maxConcurrent: null,
  state: "on" as const,
  credential: null,
  ...replica
})

const keyName = (item: { readonly name: string; readonly team?: string | null }) =>
  item.team === undefined || item.team === null ? item.name : `${item.team}/${item.name}`
const limitName = (item: typeof LimitItem.Type) =>
  `${item.scope} ${keyName(item)} ${item.kind}${item.model === undefined || item.model === null ? "" : ` at ${item.model}`}`
const priceName = ({ model, validFrom }: typeof PriceItem.Type) => `${model} from ${new Date(validFrom).toISOString()}`

const namesIn = (items: ReadonlyArray<{ readonly name: string }> = []) => items.map(({ name }) => name)
// What tells the replicas of a model apart.
const serverOf = ({ baseUrl, remoteName }: { readonly baseUrl: string; readonly remoteName: string }) => `${baseUrl} ${remoteName}`

const fullTeam = (item: typeof TeamItem.Type) => ({ enabled: true, models: null, ...item })
const fullKey = (item: typeof KeyItem.Type) => ({
  team: null,
  models: null,
  owner: null,
  enabled: true,
  expiresAt: null,
  endUserHeader: false,
  metadata: {},
  ...item
})
const fullModel = ({ replicas = [], ...item }: typeof ModelItem.Type) => ({
  aliases: [],
  formerNames: [],
  enabled: true,
  settings: {},
  ...item,
  replicas: replicas.map((replica) => replicaOf(replica, item.name))
})
const fullLimit = (item: typeof LimitItem.Type) => ({ team: null, model: null, mode: "enforce" as const, ...item })

const grantsOf = (models: ReadonlyArray<string> | null) =>
  models === null ? { allModels: true, models: [] } : { allModels: false, models }
const modelsOf = ({ allModels, models }: Pick<Team, "allModels" | "models">) => (allModels ? null : models)

/** The database, as far as a document describes it. */
class Current {
  readonly store: ControlStore
  readonly teams: ReadonlyMap<string, Team>
  readonly keys: ReadonlyMap<string, Key>
  readonly models: ReadonlyMap<string, Model>
  readonly limits: ReadonlyMap<string, Limit>
  readonly document: Required<ControlDocument>
  /** Every digest of a key, by its id. */
  readonly digests: ReadonlyMap<string, ReadonlyArray<string>>

  constructor(
    store: ControlStore,
    all: {
      readonly teams: ReadonlyArray<Team>
      readonly keys: ReadonlyArray<Key>
      readonly models: ReadonlyArray<Model>
      readonly limits: ReadonlyArray<Limit>
      readonly prices: ReadonlyArray<Price>
      readonly secrets: ReadonlyMap<string, StoredKey["secrets"]>
    }
  ) {
    const nameOf = new Map<string, string>([...all.teams, ...all.models].map((object) => [object.id, object.name]))
    const keysById = new Map(all.keys.map((key) => [key.id, key]))
    // The digest without an end comes first.
    const digests = new Map(
      [...all.secrets].map(([id, secrets]) => [
        id,
        secrets.toSorted((a, b) => Number(a.validUntil !== null) - Number(b.validUntil !== null)).map(({ digest }) => digest)
      ])
    )
    const ofTeam = ({ teamId }: Pick<Key, "teamId">) => (teamId === null ? null : (nameOf.get(teamId) ?? teamId))
    const keyItem = (key: Key) => {
      const [sha256] = digests.get(key.id) ?? []
      const { enabled, endUserHeader, expiresAt, metadata, name, owner } = key
      const item = { name, team: ofTeam(key), models: modelsOf(key), owner, enabled, expiresAt, endUserHeader, metadata }
      return sha256 === undefined ? item : { ...item, sha256 }
    }
    const limitItem = ({ amount, kind, mode, modelId, scope, scopeId }: Limit) => {
      const key = scope === "key" ? keysById.get(scopeId) : undefined
      const name = key?.name ?? nameOf.get(scopeId) ?? scopeId
      const model = modelId === "" ? null : (nameOf.get(modelId) ?? modelId)
      return { scope, name, team: key === undefined ? null : ofTeam(key), model, kind, amount, mode }
    }
    this.store = store
    this.digests = digests
    this.teams = new Map(all.teams.map((team) => [team.name, team]))
    this.keys = new Map(all.keys.map((key) => [keyName(keyItem(key)), key]))
    this.models = new Map(all.models.map((model) => [model.name, model]))
    this.limits = new Map(all.limits.map((limit) => [limitName(limitItem(limit)), limit]))
    this.document = {
      models: all.models.map(({ aliases, enabled, formerNames, name, replicas, settings }) => ({
        name,
        aliases,
        formerNames,
        enabled,
        settings,
        replicas: replicas.map(({ id: _id, modelId: _model, version: _version, ...replica }) => replica)
      })),
      teams: all.teams.map((team) => ({ name: team.name, enabled: team.enabled, models: modelsOf(team) })),
      keys: all.keys.map(keyItem),
      limits: all.limits.map(limitItem),
      prices: all.prices.map(({ modelId, ...rest }) => ({ model: nameOf.get(modelId) ?? modelId, ...rest }))
    }
  }

  static readonly read = (store: ControlStore, sql: SqlClient): Effect.Effect<Current, ControlError> =>
    Effect.gen(function* () {
      const keys = yield* readAll((request) => store.keys.list(request))
      return new Current(store, {
        teams: yield* readAll((request) => store.teams.list(request)),
        keys: keys.filter(({ revokedAt }) => revokedAt === null),
        models: yield* readAll((request) => store.models.list(request)),
        limits: yield* readAll((request) => store.limits.list(request)),
        prices: yield* store.limits.prices(),
        secrets: new Map((yield* orUnavailable(new ControlReader(sql).all)).keys.map(({ id, secrets }) => [id, secrets]))
      })
    })
}

/** Reads the database as a document. */
export const exportDocument = (store: ControlStore, sql: SqlClient): Effect.Effect<ControlDocument, ControlError> =>
  Effect.map(Current.read(store, sql), ({ document }) => document)

/** What a database needs to become as a document. */
class Plan {
  readonly #current: Current
  readonly #wanted: ControlDocument
  readonly #actor: Actor
  readonly steps: Array<Step> = []
  readonly problems: Array<string> = []
  // Objects that this plan makes have no ids yet.
  readonly #made = new Map<string, string>()

  constructor(current: Current, wanted: ControlDocument, actor: Actor) {
    this.#current = current
    this.#wanted = wanted
    this.#actor = actor
  }

  make(prune: boolean): void {
    const { keys = [], limits = [], models = [], prices = [], teams = [] } = this.#wanted
    const { document } = this.#current
    this.#compare("model", models.map(fullModel), document.models.map(fullModel), ({ name }) => name, this.#model)
    this.#compare("team", teams.map(fullTeam), document.teams.map(fullTeam), ({ name }) => name, this.#team)
    const digests = new Map(document.keys.map((key) => [keyName(key), key.sha256]))
    // A document without the digest of a key that exists leaves it as it is.
    const wantedKeys = keys.map((key) => {
      const sha256 = key.sha256 ?? digests.get(keyName(key))
      return fullKey(sha256 === undefined ? key : { ...key, sha256 })
    })
    this.#compare("key", wantedKeys, document.keys.map(fullKey), keyName, this.#key)
    this.#compare("limit", limits.map(fullLimit), document.limits.map(fullLimit), limitName, this.#limit)
    this.#compare("price", prices, document.prices, priceName, this.#price)
    if (prune) this.#prune()
  }

  #compare<Item>(
    kind: Kind,
    wanted: ReadonlyArray<Item>,
    current: ReadonlyArray<Item>,
    nameOf: (item: Item) => string,
    write: (item: Item) => Effect.Effect<unknown, ControlError>
  ): void {
    const before = new Map(current.map((item) => [nameOf(item), canonical(item)]))
    const seen = new Set<string>()
    for (const item of wanted) {
      const name = nameOf(item)
      if (seen.has(name)) this.problems.push(`${kind} ${name} is there twice`)
      seen.add(name)
      if (before.get(name) === canonical(item)) continue
      this.steps.push({ action: before.has(name) ? "update" : "create", kind, name, run: Effect.suspend(() => write(item)) })
    }
  }

  #prune(): void {
    const { keys, limits, models, store, teams } = this.#current
    const archive = <Entity extends { readonly id: string }>(
      kind: Kind,
      all: ReadonlyMap<string, Entity>,
      wanted: ReadonlyArray<string>,
      run: (id: string) => Effect.Effect<unknown, ControlError>
    ) => {
      const kept = new Set(wanted)
      for (const [name, { id }] of all) if (!kept.has(name)) this.steps.push({ action: "archive", kind, name, run: run(id) })
    }
    const actor = this.#actor
    archive("limit", limits, (this.#wanted.limits ?? []).map(limitName), (id) => store.limits.remove(actor, id))
    archive("key", keys, (this.#wanted.keys ?? []).map(keyName), (id) => store.keys.archive(actor, id))
    archive("team", teams, namesIn(this.#wanted.teams), (id) => store.teams.archive(actor, id, true))
    archive("model", models, namesIn(this.#wanted.models), (id) => store.models.archive(actor, id, true))
  }

  readonly #team = (item: ReturnType<typeof fullTeam>): Effect.Effect<unknown, ControlError> => {
    const { store, teams } = this.#current
    const found = teams.get(item.name)
    const input = { name: item.name, enabled: item.enabled, ...grantsOf(item.models) }
    return found === undefined
      ? Effect.tap(store.teams.create(this.#actor, input), ({ id }) => Effect.sync(() => this.#made.set(`team ${item.name}`, id)))
      : store.teams.update(this.#actor, found.id, input)
  }

  #teamId(name: string | null): Effect.Effect<string | null, Invalid> {
    if (name === null) return Effect.succeed(null)
    const id = this.#made.get(`team ${name}`) ?? this.#current.teams.get(name)?.id
    return id === undefined ? Effect.fail(new Invalid({ field: "team", detail: `"${name}" is not a team.` })) : Effect.succeed(id)
  }

  readonly #key = (item: ReturnType<typeof fullKey>): Effect.Effect<unknown, ControlError> => {
    const { digests, keys, store } = this.#current
    const { models, sha256, team, ...rest } = item
    const name = keyName(item)
    const found = keys.get(name)
    const input = { ...rest, ...grantsOf(models) }
    if (found !== undefined) {
      if (sha256 !== undefined && digests.get(found.id)?.includes(sha256) !== true) {
        return Effect.fail(new Invalid({ field: "sha256", detail: `The key ${name} has another secret. Rotate it, or remove its sha256.` }))
      }
      return store.keys.update(this.#actor, found.id, input)
    }
    if (sha256 === undefined) {
      return Effect.fail(
        new Invalid({ field: "sha256", detail: `The new key ${name} needs the digest of its secret. Or make it with \`keys create\`.` })
      )
    }
    return Effect.flatMap(this.#teamId(team), (teamId) =>
      Effect.tap(store.keys.create(this.#actor, { ...input, teamId, digest: sha256 }), ({ key }) =>
        Effect.sync(() => this.#made.set(`key ${name}`, key.id))
      )
    )
  }

  readonly #model = ({ replicas, ...item }: ReturnType<typeof fullModel>): Effect.Effect<unknown, ControlError> => {
    const { models, store } = this.#current
    const actor = this.#actor
    const found = models.get(item.name)
    if (found === undefined) return store.models.create(actor, { ...item, replicas })
    const removed = Object.fromEntries(Object.keys(found.settings).map((name) => [name, null]))
    const settings = { ...removed, ...(item.settings as Readonly<Record<string, Schema.Json>>) }
    const wanted = new Map(replicas.map((replica) => [serverOf(replica), replica]))
    const known = new Map(found.replicas.map((replica) => [serverOf(replica), replica]))
    return Effect.gen(function* () {
      yield* store.models.update(actor, found.id, { ...item, settings })
      for (const [id, replica] of wanted) {
        const before = known.get(id)
        if (before === undefined) yield* store.models.addReplica(actor, found.id, replica)
        else if (canonical(replicaOf(before, item.name)) !== canonical({ ...before, ...replica })) {
          yield* store.models.updateReplica(actor, before.id, replica)
        }
      }
      for (const [id, replica] of known) if (!wanted.has(id)) yield* store.models.removeReplica(actor, replica.id)
    })
  }

  readonly #limit = (item: ReturnType<typeof fullLimit>): Effect.Effect<unknown, ControlError> => {
    const { keys, limits, store, teams } = this.#current
    const { amount, kind, mode, model, name, scope } = item
    const found = limits.get(limitName(item))
    if (found !== undefined) return store.limits.update(this.#actor, found.id, { amount, mode })
    const of = scope === "key" ? keyName(item) : name
    const id = scope === "model" ? name : (this.#made.get(`${scope} ${of}`) ?? (scope === "key" ? keys : teams).get(of)?.id)
    if (id === undefined) return Effect.fail(new Invalid({ field: "limits", detail: `"${of}" is not a ${scope}.` }))
    return store.limits.create(this.#actor, { scope, scopeId: id, kind, amount, mode, ...(model === null ? {} : { modelId: model }) })
  }

  readonly #price = ({ model, ...rest }: typeof PriceItem.Type): Effect.Effect<unknown, ControlError> =>
    this.#current.store.limits.setPrice(this.#actor, { modelId: model, ...rest })
}

/**
 * What would make the database as the document. Objects that the document does not have stay, unless it is to `prune` them. Run the steps in one
 * transaction, in their order.
 */
export const plan = (
  store: ControlStore,
  sql: SqlClient,
  document: ControlDocument,
  actor: Actor,
  prune = false
): Effect.Effect<ReadonlyArray<Step>, ControlError> =>
  Effect.flatMap(Current.read(store, sql), (current) => {
    const made = new Plan(current, document, actor)
    made.make(prune)
    return made.problems.length === 0
      ? Effect.succeed(made.steps)
      : Effect.fail(new Invalid({ field: "", detail: `The document cannot be applied: ${made.problems.join("; ")}.` }))
  })
