/**
 * Answers the API of administrators.
 */
import * as Effect from "effect/Effect"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as SchemaIssue from "effect/SchemaIssue"
import { type AdminAccess, sessionTime } from "./AdminAccess.ts"
import { type Admin, AdminApi, Authorization, BadRequest, CurrentAdmin, RequestProblems, type Status, Unauthorized } from "./AdminApi.ts"
import type { Actor } from "./Changes.ts"
import { type ControlError, Forbidden, Invalid, Unavailable } from "./ControlError.ts"
import type { ControlStore } from "./ControlStore.ts"
import type { Replica } from "./Entity.ts"
import type { Finding } from "./ReplicaProbe.ts"
import { within } from "./Sql.ts"

/** What the API works on. */
export interface Administration {
  readonly store: ControlStore
  readonly access: AdminAccess
  /** Hosts (with their port if it is not the scheme's) that requests may name, besides those of the loopback. */
  readonly hosts: ReadonlySet<string>
  readonly status: Effect.Effect<Status>
  /** Serves what was changed, in this gateway at once. */
  readonly refresh: Effect.Effect<void>
  readonly test: (replica: Replica) => Effect.Effect<Finding>
}

const timeout = "10 seconds"
const unanswered = new Unavailable({ detail: "The database does not answer. What the request wanted may have happened." })

const cookieName = "paradigm_session"

const flatUnauthorized = new Unauthorized({ detail: "Send an administrator's secret as `Authorization: Bearer …`, or sign in." })

const isLoopback = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i.test(host)

// A page of another site may send requests here, and may give its own name this address.
const checkOrigin = ({ hosts }: Administration, request: HttpServerRequest.HttpServerRequest): Effect.Effect<void, Forbidden> => {
  const { host = "", origin } = request.headers
  if (!isLoopback(host) && !hosts.has(host)) {
    return Effect.fail(new Forbidden({ detail: `The host "${host.slice(0, 100)}" is not one of \`admin.hosts\`.` }))
  }
  if (origin !== undefined && URL.parse(origin)?.host !== host) {
    return Effect.fail(new Forbidden({ detail: "Pages of another origin may not use this API." }))
  }
  return Effect.void
}

// The endpoints of somebody who administers one team: reading what concerns it, and its keys.
const ofTeam = new Set([
  "listTeams",
  "getTeam",
  "listKeys",
  "getKey",
  "createKey",
  "updateKey",
  "rotateKey",
  "revokeKey",
  "archiveKey",
  "listLimits",
  "getLimit",
  "whoami",
  "logout"
])
const ofEverybody = new Set(["whoami", "logout"])
// Read by administrators alone: other administrators and the log name what a viewer need not know.
const ofAdmins = new Set(["listAdmins"])

const mayUse = ({ role }: Admin, endpoint: string, method: string): boolean =>
  role === "admin" || ofEverybody.has(endpoint) || (role === "viewer" ? method === "GET" && !ofAdmins.has(endpoint) : ofTeam.has(endpoint))

const authorization = (administration: Administration) =>
  Layer.succeed(
    Authorization,
    Authorization.of({
      bearer: Effect.fnUntraced(function* (httpEffect, { credential, endpoint }) {
        const request = yield* HttpServerRequest.HttpServerRequest
        yield* checkOrigin(administration, request)
        const secret = Redacted.value(credential)
        const cookie = request.cookies[cookieName]
        const { access } = administration
        const admin = secret !== "" ? yield* access.bySecret(secret) : cookie !== undefined ? yield* access.bySession(cookie) : undefined
        if (admin === undefined) return yield* flatUnauthorized
        if (!mayUse(admin, endpoint.identifier, request.method)) {
          return yield* new Forbidden({ detail: `A ${admin.role} may not do this.` })
        }
        const via = secret !== "" ? ("api" as const) : ("page" as const)
        // The browser sends this header with every request that is not a navigation, and no other site can forge it.
        if (via === "page" && request.method !== "GET" && request.headers["origin"] === undefined) {
          return yield* new Forbidden({ detail: "A session needs the header Origin." })
        }
        const address = Option.getOrUndefined(request.remoteAddress)
        const served = Effect.provideService(httpEffect, CurrentAdmin, { ...admin, via, address })
        const answered = request.method === "GET" ? served : Effect.tap(served, () => administration.refresh)
        return yield* Effect.catchTag(within(answered, timeout), "TimeoutError", () => Effect.fail(unanswered))
      })
    })
  )

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()
const maxProblems = 20

const problems = HttpApiMiddleware.layerSchemaErrorTransform(RequestProblems, (error) => {
  if (error.kind === "Body" || error.kind === "ResponseHeaders") return Effect.fail(error)
  const all = formatIssues(error.cause.issue).issues.map(({ message, path = [] }) => ({
    path: [error.kind.toLowerCase(), ...path.map((part) => String(typeof part === "object" ? part.key : part))].join("."),
    detail: message.slice(0, 300)
  }))
  const [first] = all
  const detail = first === undefined ? "The request does not fit." : `${first.path}: ${first.detail}`
  return Effect.fail(new BadRequest({ detail, problems: all.slice(0, maxProblems) }))
})

const actor = Effect.map(CurrentAdmin, ({ address, id, name, via }): Actor => ({ id, name, via, address }))

/** The only team of the caller; `undefined` for somebody of all teams. */
const onlyTeam = Effect.map(CurrentAdmin, ({ role, teamId }) => (role === "team_admin" ? (teamId ?? "") : undefined))

// The version is also the entity tag.
const tagged = <A extends { readonly version: number }, E extends ControlError, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.tap(effect, ({ version }) =>
    HttpEffect.appendPreResponseHandler((_, response) => Effect.succeed(HttpServerResponse.setHeader(response, "etag", `"${version}"`)))
  )

const expectedVersion = (ifMatch: string | undefined): Effect.Effect<number | undefined, Invalid> => {
  if (ifMatch === undefined || ifMatch === "*") return Effect.succeed(undefined)
  const version = /^(?:W\/)?"(\d{1,15})"$/.exec(ifMatch.trim())?.[1]
  return version === undefined
    ? Effect.fail(new Invalid({ field: "If-Match", detail: 'If-Match has the entity tag of the object, for example "3".' }))
    : Effect.succeed(Number(version))
}

// The cookie of a session, which scripts cannot read and other sites do not send.
const setCookie = (text: string, maxAge: number) =>
  HttpEffect.appendPreResponseHandler((request, response) =>
    Effect.succeed(
      HttpServerResponse.setCookieUnsafe(response, cookieName, text, {
        httpOnly: true,
        sameSite: "strict",
        path: "/admin",
        maxAge,
        secure: request.headers["x-forwarded-proto"] === "https"
      })
    )
  )

const handlers = (administration: Administration) => {
  const { access, status, store, test } = administration
  const teams = HttpApiBuilder.group(AdminApi, "teams", (group) =>
    group.handleAll({
      listTeams: ({ query }) => Effect.flatMap(onlyTeam, (team) => store.teams.list(query, team)),
      createTeam: ({ payload }) => tagged(Effect.flatMap(actor, (by) => store.teams.create(by, payload))),
      getTeam: ({ params: { id } }) => tagged(Effect.flatMap(onlyTeam, (team) => store.teams.get(id, team))),
      updateTeam: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        return yield* tagged(store.teams.update(yield* actor, id, payload, yield* expectedVersion(headers["if-match"])))
      }),
      archiveTeam: ({ params: { id }, query: { force } }) => Effect.flatMap(actor, (by) => store.teams.archive(by, id, force))
    })
  )
  const keys = HttpApiBuilder.group(AdminApi, "keys", (group) =>
    group.handleAll({
      listKeys: ({ query }) => Effect.flatMap(onlyTeam, (team) => store.keys.list(query, team)),
      createKey: Effect.fnUntraced(function* ({ headers, payload }) {
        const team = yield* onlyTeam
        if (team !== undefined && payload.teamId !== undefined && payload.teamId !== team) {
          return yield* new Invalid({ field: "teamId", detail: "There is no such team." })
        }
        const input = team === undefined ? payload : { ...payload, teamId: team }
        return yield* store.keys.create(yield* actor, input, headers["idempotency-key"])
      }),
      getKey: ({ params: { id } }) => tagged(Effect.flatMap(onlyTeam, (team) => store.keys.get(id, team))),
      updateKey: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        return yield* tagged(store.keys.update(yield* actor, id, payload, yield* expectedVersion(headers["if-match"]), yield* onlyTeam))
      }),
      rotateKey: Effect.fnUntraced(function* ({ headers, params: { id }, payload: { grace } }) {
        return yield* store.keys.rotate(yield* actor, id, grace, headers["idempotency-key"], yield* onlyTeam)
      }),
      revokeKey: Effect.fnUntraced(function* ({ params: { id } }) {
        return yield* store.keys.revoke(yield* actor, id, yield* onlyTeam)
      }),
      archiveKey: Effect.fnUntraced(function* ({ params: { id } }) {
        return yield* store.keys.archive(yield* actor, id, yield* onlyTeam)
      })
    })
  )
  const models = HttpApiBuilder.group(AdminApi, "models", (group) =>
    group.handleAll({
      listModels: ({ query }) => store.models.list(query),
      createModel: ({ payload, query: { force } }) => tagged(Effect.flatMap(actor, (by) => store.models.create(by, payload, force))),
      getModel: ({ params: { id } }) => tagged(store.models.get(id)),
      updateModel: Effect.fnUntraced(function* ({ headers, params: { id }, payload, query: { force } }) {
        return yield* tagged(store.models.update(yield* actor, id, payload, yield* expectedVersion(headers["if-match"]), force))
      }),
      archiveModel: ({ params: { id }, query: { force } }) => Effect.flatMap(actor, (by) => store.models.archive(by, id, force)),
      addReplica: ({ params: { id }, payload }) => tagged(Effect.flatMap(actor, (by) => store.models.addReplica(by, id, payload)))
    })
  )
  const replicas = HttpApiBuilder.group(AdminApi, "replicas", (group) =>
    group.handleAll({
      getReplica: ({ params: { id } }) => tagged(store.models.getReplica(id)),
      updateReplica: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        return yield* tagged(store.models.updateReplica(yield* actor, id, payload, yield* expectedVersion(headers["if-match"])))
      }),
      removeReplica: ({ params: { id } }) => Effect.flatMap(actor, (by) => store.models.removeReplica(by, id)),
      testReplica: ({ params: { id } }) => Effect.flatMap(store.models.getReplica(id), test)
    })
  )
  const limits = HttpApiBuilder.group(AdminApi, "limits", (group) =>
    group.handleAll({
      listLimits: ({ query }) => Effect.flatMap(onlyTeam, (team) => store.limits.list(query, team)),
      createLimit: ({ payload }) => tagged(Effect.flatMap(actor, (by) => store.limits.create(by, payload))),
      getLimit: ({ params: { id } }) => tagged(Effect.flatMap(onlyTeam, (team) => store.limits.get(id, team))),
      updateLimit: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        return yield* tagged(store.limits.update(yield* actor, id, payload, yield* expectedVersion(headers["if-match"])))
      }),
      removeLimit: ({ params: { id } }) => Effect.flatMap(actor, (by) => store.limits.remove(by, id))
    })
  )
  const prices = HttpApiBuilder.group(AdminApi, "prices", (group) =>
    group.handleAll({
      listPrices: ({ query: { modelId } }) => store.limits.prices(modelId),
      setPrice: ({ payload }) => Effect.flatMap(actor, (by) => store.limits.setPrice(by, payload))
    })
  )
  const audit = HttpApiBuilder.group(AdminApi, "audit", (group) => group.handleAll({ listAudit: ({ query }) => store.audit.list(query) }))
  const admins = HttpApiBuilder.group(AdminApi, "admins", (group) =>
    group.handleAll({
      listAdmins: () => access.list,
      createAdmin: ({ payload }) => Effect.flatMap(actor, (by) => access.create(by, payload)),
      removeAdmin: ({ params: { id } }) => Effect.flatMap(actor, (by) => access.remove(by, id))
    })
  )
  const system = HttpApiBuilder.group(AdminApi, "system", (group) =>
    group.handleAll({
      status: () => status,
      whoami: () => Effect.map(CurrentAdmin, ({ expiresAt, id, name, role, teamId }) => ({ expiresAt, id, name, role, teamId })),
      logout: Effect.fnUntraced(function* () {
        const { cookies } = yield* HttpServerRequest.HttpServerRequest
        yield* access.close(cookies[cookieName] ?? "")
        yield* setCookie("", 0)
      })
    })
  )
  const login = HttpApiBuilder.group(AdminApi, "login", (group) =>
    group.handleAll({
      login: Effect.fnUntraced(function* ({ payload: { secret } }) {
        yield* checkOrigin(administration, yield* HttpServerRequest.HttpServerRequest)
        const admin = yield* access.bySecret(secret)
        if (admin === undefined) return yield* flatUnauthorized
        yield* setCookie(yield* access.open(admin), sessionTime)
        return admin
      })
    })
  )
  return Layer.mergeAll(teams, keys, models, replicas, limits, prices, audit, admins, system, login)
}

/** The routes of the API. `/admin/v1/openapi.json` describes them. */
export const routes = (administration: Administration) =>
  HttpApiBuilder.layer(AdminApi, { openapiPath: "/admin/v1/openapi.json" }).pipe(
    Layer.provide(handlers(administration)),
    Layer.provide([authorization(administration), problems])
  )
