/**
 * What a gateway knows of the control plane: the part of the database that decides requests. It has digests of keys, and neither keys nor credentials. A
 * model of the configuration file has its name as its id.
 */
import * as Schema from "effect/Schema"
import { Secret } from "../ConfigFile.ts"
import type { KeyHolder } from "../GatewayConfig.ts"
import { StoredLimits } from "../limits/StoredLimits.ts"
import { ModelSettings } from "./Entity.ts"

const time = Schema.NullOr(Schema.Int)
const grants = { allModels: Schema.Boolean, models: Schema.Array(Schema.String) }

/** A team, as requests see it. */
export const StoredTeam = Schema.Struct({ id: Schema.String, name: Schema.String, isValid: Schema.Boolean, ...grants })
export type StoredTeam = typeof StoredTeam.Type

/** A key with the digests of its secrets, in hexadecimal digits. */
export const StoredKey = Schema.Struct({
  id: Schema.String,
  teamId: Schema.NullOr(Schema.String),
  name: Schema.String,
  /** Neither disabled, revoked nor archived. */
  isValid: Schema.Boolean,
  expiresAt: time,
  endUserHeader: Schema.Boolean,
  secrets: Schema.Array(Schema.Struct({ digest: Schema.String, validUntil: time })),
  ...grants
})
export type StoredKey = typeof StoredKey.Type

/** A model with the replicas that get requests. */
export const StoredModel = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  /** Further names, former ones too. */
  aliases: Schema.Array(Schema.String),
  isEnabled: Schema.Boolean,
  settings: ModelSettings,
  replicas: Schema.Array(
    Schema.Struct({
      baseUrl: Schema.String,
      remoteName: Schema.String,
      weight: Schema.Int,
      maxConcurrent: Schema.NullOr(Schema.Int),
      credential: Schema.NullOr(Secret)
    })
  )
})
export type StoredModel = typeof StoredModel.Type

/** Objects that were read. */
export interface StoredObjects {
  readonly teams: ReadonlyArray<StoredTeam>
  readonly keys: ReadonlyArray<StoredKey>
  readonly models: ReadonlyArray<StoredModel>
  /** Every limit and price; `undefined` if none of them changed. */
  readonly limits: StoredLimits | undefined
}

/** All objects at a revision of the database. */
export const StoredState = Schema.Struct({
  revision: Schema.Int,
  teams: Schema.Array(StoredTeam),
  keys: Schema.Array(StoredKey),
  models: Schema.Array(StoredModel),
  limits: StoredLimits
})
export type StoredState = typeof StoredState.Type

/** Ids of the objects that changed. */
export interface ChangedIds {
  readonly teams: ReadonlySet<string>
  readonly keys: ReadonlySet<string>
  readonly models: ReadonlySet<string>
}

const unlimited = undefined

// The models that both a key and its team may use.
const rightsOf = (key: StoredKey, team: StoredTeam | undefined): ReadonlySet<string> | undefined => {
  const teamModels = team === undefined || team.allModels ? unlimited : new Set(team.models)
  if (key.allModels) return teamModels
  return new Set(teamModels === undefined ? key.models : key.models.filter((model) => teamModels.has(model)))
}

const earlier = (a: number | null, b: number | null): number | undefined =>
  a === null ? (b ?? undefined) : b === null ? a : Math.min(a, b)

const idsOf = (before: ReadonlyMap<string, unknown>, now: ReadonlyArray<{ readonly id: string }>): ReadonlySet<string> =>
  new Set([...before.keys(), ...now.map(({ id }) => id)])

/** The objects of the control plane in memory. */
export class ServedState {
  readonly #teams = new Map<string, StoredTeam>()
  readonly #keys = new Map<string, StoredKey>()
  readonly #models = new Map<string, StoredModel>()
  readonly #keysOfTeam = new Map<string, Set<string>>()
  revision = 0
  limits: StoredLimits = { rules: [], prices: [] }

  get models(): Iterable<StoredModel> {
    return this.#models.values()
  }

  /** Puts objects in the place of the changed ones. Objects that were not found are gone. Returns the ids of the keys whose rights may differ. */
  patch(changed: ChangedIds, found: StoredObjects): ReadonlySet<string> {
    const keys = new Set(changed.keys)
    this.limits = found.limits ?? this.limits
    for (const id of changed.teams) {
      this.#teams.delete(id)
      for (const key of this.#keysOfTeam.get(id) ?? []) keys.add(key)
    }
    for (const id of changed.keys) {
      this.#keysOfTeam.get(this.#keys.get(id)?.teamId ?? "")?.delete(id)
      this.#keys.delete(id)
    }
    for (const id of changed.models) this.#models.delete(id)
    for (const team of found.teams) this.#teams.set(team.id, team)
    for (const model of found.models) this.#models.set(model.id, model)
    for (const key of found.keys) {
      this.#keys.set(key.id, key)
      if (key.teamId === null) continue
      const ofTeam = this.#keysOfTeam.get(key.teamId)
      if (ofTeam === undefined) this.#keysOfTeam.set(key.teamId, new Set([key.id]))
      else ofTeam.add(key.id)
    }
    return keys
  }

  /** Replaces everything. Returns the ids of all keys, of those that are gone too. */
  load(state: StoredState): ReadonlySet<string> {
    this.revision = state.revision
    return this.patch(
      { teams: idsOf(this.#teams, state.teams), keys: idsOf(this.#keys, state.keys), models: idsOf(this.#models, state.models) },
      state
    )
  }

  /** Everything, for the file from which a gateway starts without the database. */
  save(): StoredState {
    const { limits, revision } = this
    return { revision, limits, teams: [...this.#teams.values()], keys: [...this.#keys.values()], models: [...this.#models.values()] }
  }

  /** The holders of a key: one for each secret, none if the key or its team is not valid. */
  holdersOf(id: string): ReadonlyArray<KeyHolder> {
    const key = this.#keys.get(id)
    if (key === undefined || !key.isValid) return []
    const team = key.teamId === null ? undefined : this.#teams.get(key.teamId)
    if (key.teamId !== null && team?.isValid !== true) return []
    const models = rightsOf(key, team)
    const name = team === undefined ? key.name : `${team.name}/${key.name}`
    return key.secrets.map(({ digest, validUntil }) => ({
      id,
      validUntil: earlier(key.expiresAt, validUntil),
      name,
      sha256: digest,
      models,
      team: team?.id,
      endUserHeader: key.endUserHeader
    }))
  }
}
