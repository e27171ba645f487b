/**
 * What the control plane administers: keys, teams, models, replicas, limits and prices. Times are milliseconds since 1970. `version` grows with each change.
 */
import * as Schema from "effect/Schema"
import { baseUrl, Model as FileModel, Secret } from "../ConfigFile.ts"
import { kinds } from "../limits/LimitRule.ts"

const name = Schema.NonEmptyString.check(
  Schema.isMaxLength(200),
  Schema.isPattern(/^[^\p{Cc}]*$/u, { expected: "text without control characters" })
)
const time = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8_640_000_000_000_000 }))
const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const version = Schema.Int

/** A team: keys that have rights, limits and usage together. */
export const Team = Schema.Struct({
  id: Schema.String,
  name,
  enabled: Schema.Boolean,
  allModels: Schema.Boolean.annotateKey({ description: "Whether its keys may use every model, or `models` alone." }),
  models: Schema.Array(Schema.String).annotateKey({ description: "Names of models." }),
  archivedAt: Schema.NullOr(time),
  version
}).annotate({ identifier: "Team" })
export type Team = typeof Team.Type

const teamInput = {
  name,
  enabled: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Defaults to true." }),
  allModels: Schema.optionalKey(Schema.Boolean).annotateKey({ description: "Defaults to true if there is no `models`." }),
  models: Schema.optionalKey(Schema.Array(name))
}
export const NewTeam = Schema.Struct(teamInput).annotate({ identifier: "NewTeam" })
export const TeamPatch = Schema.Struct({ ...teamInput, name: Schema.optionalKey(name) }).annotate({ identifier: "TeamPatch" })

/** A secret of a key. The text itself is shown once, when it is made. */
export const KeySecret = Schema.Struct({
  start: Schema.String.annotateKey({ description: "The beginning of the secret." }),
  createdAt: time,
  validUntil: Schema.NullOr(time)
}).annotate({ identifier: "KeySecret" })

/** A key: the right of its holder to call models. */
export const Key = Schema.Struct({
  id: Schema.String,
  teamId: Schema.NullOr(Schema.String),
  name,
  owner: Schema.NullOr(Schema.String),
  enabled: Schema.Boolean,
  allModels: Schema.Boolean,
  models: Schema.Array(Schema.String),
  expiresAt: Schema.NullOr(time),
  revokedAt: Schema.NullOr(time),
  endUserHeader: Schema.Boolean.annotateKey({ description: "Whether the header with the id of the end user is believed." }),
  metadata: Schema.Record(Schema.String, Schema.Json),
  secrets: Schema.Array(KeySecret),
  createdBy: Schema.String,
  createdAt: time,
  archivedAt: Schema.NullOr(time),
  version
}).annotate({ identifier: "Key" })
export type Key = typeof Key.Type

const keyInput = {
  name,
  owner: Schema.optionalKey(Schema.NullOr(name)),
  enabled: Schema.optionalKey(Schema.Boolean),
  allModels: Schema.optionalKey(Schema.Boolean),
  models: Schema.optionalKey(Schema.Array(name)),
  expiresAt: Schema.optionalKey(Schema.NullOr(time)),
  endUserHeader: Schema.optionalKey(Schema.Boolean),
  metadata: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json))
}
export const NewKey = Schema.Struct({
  ...keyInput,
  teamId: Schema.optionalKey(Schema.NullOr(Schema.String)),
  digest: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "64 lower-case hexadecimal digits" }))
  ).annotateKey({
    description: "SHA-256 of a secret that exists already. Without it a new secret is made."
  })
}).annotate({ identifier: "NewKey" })
export const KeyPatch = Schema.Struct({
  ...keyInput,
  name: Schema.optionalKey(name),
  metadata: keyInput.metadata.annotateKey({ description: "Metadata that changes; `null` removes a member." })
}).annotate({ identifier: "KeyPatch" })

/** A key with its new secret, which is shown only here. */
export const MadeKey = Schema.Struct({
  key: Key,
  secret: Schema.NullOr(Schema.String).annotateKey({
    description: "The secret, for its holder. `null` if the request was answered before, or brought a digest."
  })
}).annotate({ identifier: "MadeKey" })
export type MadeKey = typeof MadeKey.Type

const {
  aliases: _aliases,
  apiKey: _apiKey,
  enabled: _enabled,
  limits: _limits,
  name: _name,
  price: _price,
  replicas: _replicas,
  ...settings
} = FileModel.fields

/** Settings of a model, as in the configuration file. */
export const ModelSettings = Schema.Struct(settings).annotate({ identifier: "ModelSettings" })

export const ReplicaState = Schema.Literals(["on", "draining", "off"])

const replicaInput = {
  baseUrl,
  remoteName: Schema.optionalKey(name).annotateKey({ description: "The model's name there. Defaults to the model's name." }),
  weight: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))),
  maxConcurrent: Schema.optionalKey(Schema.NullOr(count)),
  state: Schema.optionalKey(ReplicaState),
  credential: Schema.optionalKey(Schema.NullOr(Secret)).annotateKey({
    description: "Where the gateway finds the key of the replica. The key itself is not stored."
  })
}

/** A server of a model. */
export const Replica = Schema.Struct({
  id: Schema.String,
  modelId: Schema.String,
  baseUrl: Schema.String,
  remoteName: Schema.String,
  weight: Schema.Int,
  maxConcurrent: Schema.NullOr(count),
  state: ReplicaState,
  credential: Schema.NullOr(Secret),
  version
}).annotate({ identifier: "Replica" })
export type Replica = typeof Replica.Type
export const NewReplica = Schema.Struct(replicaInput).annotate({ identifier: "NewReplica" })
export const ReplicaPatch = Schema.Struct({ ...replicaInput, baseUrl: Schema.optionalKey(baseUrl) }).annotate({
  identifier: "ReplicaPatch"
})

/** A model, its names and its servers. */
export const Model = Schema.Struct({
  id: Schema.String,
  name,
  aliases: Schema.Array(name),
  formerNames: Schema.Array(name).annotateKey({ description: "Names that it had, which still work." }),
  enabled: Schema.Boolean,
  settings: ModelSettings,
  replicas: Schema.Array(Replica),
  archivedAt: Schema.NullOr(time),
  version
}).annotate({ identifier: "Model" })
export type Model = typeof Model.Type

const modelInput = {
  name,
  aliases: Schema.optionalKey(Schema.Array(name)),
  formerNames: Schema.optionalKey(Schema.Array(name)),
  enabled: Schema.optionalKey(Schema.Boolean),
  settings: Schema.optionalKey(ModelSettings)
}
export const NewModel = Schema.Struct({ ...modelInput, replicas: Schema.optionalKey(Schema.Array(NewReplica)) }).annotate({
  identifier: "NewModel"
})
export const ModelPatch = Schema.Struct({
  ...modelInput,
  name: Schema.optionalKey(name),
  settings: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)).annotateKey({
    description: "Settings that change; `null` removes one."
  })
}).annotate({ identifier: "ModelPatch" })

export const LimitScope = Schema.Literals(["key", "team", "model"])
export const LimitKind = Schema.Literals(kinds)
export const LimitMode = Schema.Literals(["enforce", "report"])

/** A limit of a key, a team or a model; of a key or a team at one model if `modelId` is not empty. */
export const Limit = Schema.Struct({
  id: Schema.String,
  scope: LimitScope,
  scopeId: Schema.String,
  modelId: Schema.String,
  kind: LimitKind,
  amount: count.annotateKey({ description: "Requests, tokens, streams, or micro-units of the currency. 0 allows nothing." }),
  mode: LimitMode.annotateKey({ description: "`report` counts and logs, and refuses nothing." }),
  version
}).annotate({ identifier: "Limit" })
export type Limit = typeof Limit.Type
export const NewLimit = Schema.Struct({
  scope: LimitScope,
  scopeId: Schema.String,
  modelId: Schema.optionalKey(Schema.String),
  kind: LimitKind,
  amount: count,
  mode: Schema.optionalKey(LimitMode)
}).annotate({ identifier: "NewLimit" })
export const LimitPatch = Schema.Struct({ amount: Schema.optionalKey(count), mode: Schema.optionalKey(LimitMode) }).annotate({
  identifier: "LimitPatch"
})

/** The price of a model from a time on, in micro-units of the currency for a million tokens. */
export const Price = Schema.Struct({ modelId: Schema.String, validFrom: time, input: count, cached: count, output: count }).annotate({
  identifier: "Price"
})
export type Price = typeof Price.Type

/** What somebody changed. `hash` covers the entry and the hash before it. */
export const AuditEntry = Schema.Struct({
  seq: Schema.Int,
  at: time,
  actor: Schema.String,
  via: Schema.String,
  address: Schema.NullOr(Schema.String),
  action: Schema.String,
  entity: Schema.String,
  entityId: Schema.String,
  before: Schema.NullOr(Schema.String),
  after: Schema.NullOr(Schema.String),
  prevHash: Schema.String,
  hash: Schema.String
}).annotate({ identifier: "AuditEntry" })
export type AuditEntry = typeof AuditEntry.Type
