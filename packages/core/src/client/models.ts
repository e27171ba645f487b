// Requests for the models of the endpoint.
import * as Effect from "effect/Effect"
import { decodeModel, decodeModels, type Model, type ModelList, type ModelResponse } from "../Model.ts"
import type { CallOptions, Service } from "../ParadigmClient.ts"
import { InvalidRequest, ParadigmError } from "../ParadigmError.ts"
import { getResource, type Resource } from "./resource.ts"

const toModelResponse = <A>({ data, response }: Resource<A>): ModelResponse<A> => {
  const { headers, requestId, status } = response
  return { data, response: { status, headers, requestId, anomalies: [] } }
}

const read = <A>(client: Service, path: string, decode: (value: unknown) => A | undefined, options: CallOptions | undefined) =>
  Effect.map(getResource(client, path, decode, options), toModelResponse)

export const listWith = (client: Service, options?: CallOptions): Effect.Effect<ModelResponse<ModelList>, ParadigmError> =>
  read(client, "models", decodeModels, options)

export const retrieveWith = (client: Service, model: string, options?: CallOptions): Effect.Effect<ModelResponse<Model>, ParadigmError> => {
  if (typeof model !== "string" || model === "") {
    const reason = new InvalidRequest({ detail: "no model is named", fields: { model: ["Expected the id of a model"] } })
    return Effect.fail(new ParadigmError({ reason }))
  }
  // The ids of some servers have slashes, which are part of their path.
  return read(client, `models/${model.split("/").map(encodeURIComponent).join("/")}`, decodeModel, options)
}
