/**
 * The API of administrators: keys, teams, models, replicas, limits, prices, and the audit log. Paths, schemas and errors; `AdminServer.ts` answers.
 */
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import { Conflict, Forbidden, InUse, Invalid, NotFound, Unavailable, VersionMismatch } from "./ControlError.ts"
import {
  AuditEntry,
  Key,
  KeyPatch,
  Limit,
  LimitPatch,
  MadeKey,
  Model,
  ModelPatch,
  NewKey,
  NewLimit,
  NewModel,
  NewReplica,
  NewTeam,
  Price,
  Replica,
  ReplicaPatch,
  Team,
  TeamPatch
} from "./Entity.ts"

/** No credential, or not one of an administrator. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", { detail: Schema.String }, { httpApiStatus: 401 }) {
  override get message(): string {
    return this.detail
  }
}

/** The request is not what the API takes. `problems` names each wrong field. */
export class BadRequest extends Schema.TaggedError<BadRequest>()(
  "BadRequest",
  { detail: Schema.String, problems: Schema.Array(Schema.Struct({ path: Schema.String, detail: Schema.String })) },
  { httpApiStatus: 400 }
) {
  override get message(): string {
    return this.detail
  }
}

/** What an administrator may do: everything, read everything, or administer the keys of one team. */
export const Role = Schema.Literals(["admin", "viewer", "team_admin"])
export type Role = typeof Role.Type

/** An administrator. */
export const Admin = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  role: Role,
  teamId: Schema.NullOr(Schema.String),
  expiresAt: Schema.NullOr(Schema.Int)
}).annotate({ identifier: "Admin" })
export type Admin = typeof Admin.Type

/** The administrator of the current request. */
export class CurrentAdmin extends Context.Service<
  CurrentAdmin,
  Admin & { readonly via: "api" | "page"; readonly address: string | undefined }
>()("@paradigm-effect/gateway/CurrentAdmin") {}

/** Finds the administrator by the bearer token or by the session's cookie, and checks that the role may use the endpoint. */
export class Authorization extends HttpApiMiddleware.Service<Authorization, { provides: CurrentAdmin }>()(
  "@paradigm-effect/gateway/Authorization",
  { security: { bearer: HttpApiSecurity.bearer }, error: [Unauthorized, Forbidden, Unavailable] }
) {}

/** Requests that do not fit as `BadRequest`. */
export class RequestProblems extends HttpApiMiddleware.Service<RequestProblems>()("@paradigm-effect/gateway/RequestProblems", {
  error: BadRequest
}) {}

const id = { id: Schema.String }
const page = {
  after: Schema.optionalKey(Schema.String),
  limit: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 }))),
  search: Schema.optionalKey(Schema.String),
  archived: Schema.optionalKey(Schema.Boolean)
}
const force = { force: Schema.optionalKey(Schema.Boolean) }
const ifMatch = { "if-match": Schema.optionalKey(Schema.String) }
const idempotency = { "idempotency-key": Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(200))) }

const pageOf = <Item extends Schema.Top>(name: string, item: Item) =>
  Schema.Struct({ items: Schema.Array(item), next: Schema.NullOr(Schema.String) }).annotate({ identifier: name })

// A patch is JSON, by either media type.
const patch = <Body extends Schema.Top>(body: Body) =>
  [body, body.pipe(HttpApiSchema.asJson({ contentType: "application/merge-patch+json" }))] as const

const readErrors = [NotFound, Unavailable] as const
const writeErrors = [NotFound, Conflict, InUse, VersionMismatch, Invalid, Unavailable] as const

class Teams extends HttpApiGroup.make("teams")
  .add(
    HttpApiEndpoint.get("listTeams", "/", { query: page, success: pageOf("TeamPage", Team), error: Unavailable }),
    HttpApiEndpoint.post("createTeam", "/", { payload: NewTeam, success: Team.pipe(HttpApiSchema.status(201)), error: writeErrors }),
    HttpApiEndpoint.get("getTeam", "/:id", { params: id, success: Team, error: readErrors }),
    HttpApiEndpoint.patch("updateTeam", "/:id", {
      params: id,
      headers: ifMatch,
      payload: patch(TeamPatch),
      success: Team,
      error: writeErrors
    }),
    HttpApiEndpoint.delete("archiveTeam", "/:id", { params: id, query: force, success: Team, error: writeErrors })
  )
  .prefix("/teams") {}

class Keys extends HttpApiGroup.make("keys")
  .add(
    HttpApiEndpoint.get("listKeys", "/", {
      query: { ...page, teamId: Schema.optionalKey(Schema.String) },
      success: pageOf("KeyPage", Key),
      error: Unavailable
    }),
    HttpApiEndpoint.post("createKey", "/", {
      headers: idempotency,
      payload: NewKey,
      success: MadeKey.pipe(HttpApiSchema.status(201)),
      error: writeErrors
    }),
    HttpApiEndpoint.get("getKey", "/:id", { params: id, success: Key, error: readErrors }),
    HttpApiEndpoint.patch("updateKey", "/:id", {
      params: id,
      headers: ifMatch,
      payload: patch(KeyPatch),
      success: Key,
      error: writeErrors
    }),
    HttpApiEndpoint.post("rotateKey", "/:id/rotate", {
      params: id,
      headers: idempotency,
      payload: Schema.Struct({
        grace: Schema.optionalKey(Schema.Int).annotateKey({
          description: "Time for which the old secret works on, in milliseconds. Defaults to 0."
        })
      }),
      success: MadeKey,
      error: writeErrors
    }),
    HttpApiEndpoint.post("revokeKey", "/:id/revoke", { params: id, success: Key, error: writeErrors }),
    HttpApiEndpoint.delete("archiveKey", "/:id", { params: id, success: Key, error: writeErrors })
  )
  .prefix("/keys") {}

/** What asking a replica for its models found. Nothing of its answer is shown. */
export const ReplicaTest = Schema.Struct({
  isReachable: Schema.Boolean,
  detail: Schema.String,
  milliseconds: Schema.Int
}).annotate({ identifier: "ReplicaTest" })

class Models extends HttpApiGroup.make("models")
  .add(
    HttpApiEndpoint.get("listModels", "/", { query: page, success: pageOf("ModelPage", Model), error: Unavailable }),
    HttpApiEndpoint.post("createModel", "/", {
      query: force,
      payload: NewModel,
      success: Model.pipe(HttpApiSchema.status(201)),
      error: writeErrors
    }),
    HttpApiEndpoint.get("getModel", "/:id", { params: id, success: Model, error: readErrors }),
    HttpApiEndpoint.patch("updateModel", "/:id", {
      params: id,
      query: force,
      headers: ifMatch,
      payload: patch(ModelPatch),
      success: Model,
      error: writeErrors
    }),
    HttpApiEndpoint.delete("archiveModel", "/:id", { params: id, query: force, success: Model, error: writeErrors }),
    HttpApiEndpoint.post("addReplica", "/:id/replicas", {
      params: id,
      payload: NewReplica,
      success: Replica.pipe(HttpApiSchema.status(201)),
      error: writeErrors
    })
  )
  .prefix("/models") {}

class Replicas extends HttpApiGroup.make("replicas")
  .add(
    HttpApiEndpoint.get("getReplica", "/:id", { params: id, success: Replica, error: readErrors }),
    HttpApiEndpoint.patch("updateReplica", "/:id", {
      params: id,
      headers: ifMatch,
      payload: patch(ReplicaPatch),
      success: Replica,
      error: writeErrors
    }),
    HttpApiEndpoint.delete("removeReplica", "/:id", { params: id, success: Replica, error: writeErrors }),
    HttpApiEndpoint.post("testReplica", "/:id/test", { params: id, success: ReplicaTest, error: readErrors })
  )
  .prefix("/replicas") {}

class Limits extends HttpApiGroup.make("limits")
  .add(
    HttpApiEndpoint.get("listLimits", "/", {
      query: { after: page.after, limit: page.limit, scopeId: Schema.optionalKey(Schema.String) },
      success: pageOf("LimitPage", Limit),
      error: Unavailable
    }),
    HttpApiEndpoint.post("createLimit", "/", { payload: NewLimit, success: Limit.pipe(HttpApiSchema.status(201)), error: writeErrors }),
    HttpApiEndpoint.get("getLimit", "/:id", { params: id, success: Limit, error: readErrors }),
    HttpApiEndpoint.patch("updateLimit", "/:id", {
      params: id,
      headers: ifMatch,
      payload: patch(LimitPatch),
      success: Limit,
      error: writeErrors
    }),
    HttpApiEndpoint.delete("removeLimit", "/:id", { params: id, success: Limit, error: writeErrors })
  )
  .prefix("/limits") {}

class Prices extends HttpApiGroup.make("prices")
  .add(
    HttpApiEndpoint.get("listPrices", "/", {
      query: { modelId: Schema.optionalKey(Schema.String) },
      success: Schema.Array(Price),
      error: [Invalid, ...readErrors]
    }),
    HttpApiEndpoint.post("setPrice", "/", { payload: Price, success: Price.pipe(HttpApiSchema.status(201)), error: writeErrors })
  )
  .prefix("/prices") {}

class Audit extends HttpApiGroup.make("audit")
  .add(
    HttpApiEndpoint.get("listAudit", "/", {
      query: {
        after: page.after,
        limit: page.limit,
        entity: Schema.optionalKey(Schema.String),
        entityId: Schema.optionalKey(Schema.String)
      },
      success: pageOf("AuditPage", AuditEntry),
      error: Unavailable
    })
  )
  .prefix("/audit") {}

const NewAdmin = Schema.Struct({
  name: Schema.NonEmptyString.check(Schema.isMaxLength(200)),
  role: Role,
  teamId: Schema.optionalKey(Schema.String).annotateKey({ description: "The team of a team_admin." }),
  expiresAt: Schema.optionalKey(Schema.Int)
}).annotate({ identifier: "NewAdmin" })

class Admins extends HttpApiGroup.make("admins")
  .add(
    HttpApiEndpoint.get("listAdmins", "/", { success: Schema.Array(Admin), error: Unavailable }),
    HttpApiEndpoint.post("createAdmin", "/", {
      payload: NewAdmin,
      success: Schema.Struct({ admin: Admin, secret: Schema.String }).annotate({ identifier: "MadeAdmin" }).pipe(HttpApiSchema.status(201)),
      error: writeErrors
    }),
    HttpApiEndpoint.delete("removeAdmin", "/:id", { params: id, success: Admin, error: writeErrors })
  )
  .prefix("/admins") {}

/** A replica as the gateway that answers sees it now. */
export const LiveReplica = Schema.Struct({
  origin: Schema.String,
  isHealthy: Schema.Boolean,
  inFlight: Schema.Int
}).annotate({ identifier: "LiveReplica" })

/** The gateway that answers: its models as they are served, and the requests in flight. */
export const Status = Schema.Struct({
  revision: Schema.Int,
  degraded: Schema.Boolean.annotateKey({ description: "Whether the database does not answer, and an earlier state is served." }),
  activeRequests: Schema.Int,
  models: Schema.Array(
    Schema.Struct({
      id: Schema.String,
      name: Schema.String,
      aliases: Schema.Array(Schema.String),
      owner: Schema.Literals(["file", "api"]),
      waiting: Schema.Int,
      replicas: Schema.Array(LiveReplica)
    })
  ),
  keys: Schema.Int.annotateKey({ description: "Number of valid secrets." })
}).annotate({ identifier: "Status" })
export type Status = typeof Status.Type

class System extends HttpApiGroup.make("system", { topLevel: true }).add(
  HttpApiEndpoint.get("status", "/status", { success: Status }),
  HttpApiEndpoint.get("whoami", "/session", { success: Admin }),
  HttpApiEndpoint.delete("logout", "/session", { success: HttpApiSchema.Empty(204), error: Unavailable })
) {}

/** Makes a session for a page: the secret goes into a cookie that scripts cannot read. */
class Login extends HttpApiGroup.make("login", { topLevel: true }).add(
  HttpApiEndpoint.post("login", "/session", {
    payload: Schema.Struct({ secret: Schema.String }),
    success: Admin.pipe(HttpApiSchema.status(201)),
    error: [Unauthorized, Forbidden, Unavailable]
  })
) {}

/** The API. */
export class AdminApi extends HttpApi.make("paradigm-gateway-admin")
  .add(Teams)
  .add(Keys)
  .add(Models)
  .add(Replicas)
  .add(Limits)
  .add(Prices)
  .add(Audit)
  .add(Admins)
  .add(System)
  .middleware(Authorization)
  .add(Login)
  .middleware(RequestProblems)
  .prefix("/admin/v1")
  // Every problem of a request is told, and a member that it does not have is one.
  .annotate(HttpApi.PayloadParseOptions, { errors: "all", onExcessProperty: "error" })
  .annotate(HttpApi.QueryParseOptions, { errors: "all", onExcessProperty: "error" })
  .annotateMerge(
    OpenApi.annotations({
      title: "Administration of the Paradigm gateway",
      version: "1.0.0",
      description: "Times are milliseconds since 1970."
    })
  ) {}
