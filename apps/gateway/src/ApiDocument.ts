/**
 * The OpenAPI document of the endpoint. Building it costs a third of the start, so that this module is loaded when the document is requested.
 */
import { ParadigmApi } from "@paradigm-effect/core/ParadigmApi"
import * as OpenApi from "effect/http-api/OpenApi"

/** The document, as JSON. */
export const json: string = JSON.stringify(OpenApi.fromApi(ParadigmApi))
