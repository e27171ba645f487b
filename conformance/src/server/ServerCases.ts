/**
 * The suite's own server cases and profiles, decoded.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import auth from "../../cases/server/auth.json" with { type: "json" }
import error from "../../cases/server/error.json" with { type: "json" }
import form from "../../cases/server/form.json" with { type: "json" }
import http from "../../cases/server/http.json" with { type: "json" }
import profileFile from "../../cases/server/profiles.json" with { type: "json" }
import relay from "../../cases/server/relay.json" with { type: "json" }
import request from "../../cases/server/request.json" with { type: "json" }
import stream from "../../cases/server/stream.json" with { type: "json" }
import { decodeWith } from "../case/Cases.ts"
import type * as Plan from "../plan/Plan.ts"
import { ProfileFile, ServerCase } from "./ServerCase.ts"

/**
 * A case file's cases. Throws, saying which and where, if one breaks the schema or stands in a file that is not its group's.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = decodeWith(ServerCase)

/**
 * One server case, as plans list it: there are no variants.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerInstance extends Plan.Listed {
  readonly case: ServerCase
}

/**
 * All instances of some cases, in order.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (cases: ReadonlyArray<ServerCase>): ReadonlyArray<ServerInstance> => cases.map((item) => ({ id: item.id, case: item }))

/**
 * Every server case of the suite.
 *
 * @category cases
 * @since 0.1.0
 */
export const all: ReadonlyArray<ServerCase> = [request, form, auth, stream, error, http, relay].flatMap(decode)

/**
 * Every server case of the suite, as plans list it.
 *
 * @category cases
 * @since 0.1.0
 */
export const plan: ReadonlyArray<ServerInstance> = make(all)

/**
 * What each profile is.
 *
 * @category cases
 * @since 0.1.0
 */
export const profiles: ProfileFile["profiles"] = Schema.decodeUnknownSync(ProfileFile)(profileFile, { onExcessProperty: "error" }).profiles
