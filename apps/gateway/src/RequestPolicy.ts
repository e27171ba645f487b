/**
 * What a caller may ask of a model server: fields that control the engine, URLs that the server would fetch, and the fields that the operator sets.
 */
import type { ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import * as Predicate from "effect/Predicate"
import { GatewayFailure } from "./GatewayFailure.ts"
import type { Edits, RequestBody } from "./RequestBody.ts"
import { nothing, type Withheld } from "./Withheld.ts"

/** Fields with which a caller would control the engine: its order of work, its caches, its templates, or its memory. */
export const controlFields = [
  "priority",
  "kv_transfer_params",
  "ec_transfer_params",
  "chat_template",
  "cache_salt",
  "request_id",
  "mm_processor_kwargs",
  "media_io_kwargs",
  "vllm_xargs",
  "session_id"
] as const

export type ControlField = (typeof controlFields)[number]

/** The policy of a model. */
export interface ModelPolicy {
  readonly defaults: Readonly<Record<string, unknown>>
  readonly forced: Readonly<Record<string, unknown>>
  readonly allow: ReadonlySet<ControlField>
  /** URLs of media: data URLs alone, the hosts of a set, or any. */
  readonly media: "any" | "data" | ReadonlySet<string>
}

const isAllowed = (url: string, media: ModelPolicy["media"]): boolean => {
  if (media === "any" || /^data:/i.test(url)) return true
  return media !== "data" && media.has(URL.parse(url)?.hostname ?? "")
}

// A part of a message is `{ type: "image_url", image_url: { url } }`, or with `audio_url` or `video_url`; older servers take `image_url: url`.
const urlsOf = (part: unknown): ReadonlyArray<readonly [path: string, url: string]> => {
  if (typeof part !== "object" || part === null) return []
  return Object.entries(part).flatMap(([name, value]: [string, unknown]): Array<readonly [string, string]> => {
    if (!name.endsWith("_url")) return []
    if (typeof value === "string") return [[name, value]]
    const url = typeof value === "object" && value !== null && "url" in value ? value.url : undefined
    return typeof url === "string" ? [[`${name}.url`, url]] : []
  })
}

/** Fails with 422 when a message has a URL that the policy does not allow. */
export const checkMedia = ({ messages }: ChatCompletionRequest, { media }: ModelPolicy): GatewayFailure | undefined => {
  if (media === "any") return undefined
  const fields: Record<string, ReadonlyArray<string>> = {}
  for (const [i, message] of messages.entries()) {
    const { content } = message as { readonly content?: unknown }
    if (!Array.isArray(content)) continue
    for (const [j, part] of content.entries()) {
      for (const [path, url] of urlsOf(part)) {
        if (isAllowed(url, media) || Object.keys(fields).length >= 20) continue
        const hosts = media === "data" ? "" : `, or a URL of ${[...media].join(", ")}`
        fields[`messages[${i}].content[${j}].${path}`] = [`Expected a data URL${hosts}: the endpoint fetches no others`]
      }
    }
  }
  if (Object.keys(fields).length === 0) return undefined
  return new GatewayFailure({ status: 422, detail: "The request has a URL that the endpoint does not fetch.", fields })
}

/** The changes of a body that every replica of a model gets, the caller's fields that are removed, and what is withheld from the caller. */
export interface UpstreamEdits extends Edits {
  readonly ignored: ReadonlyArray<string>
  readonly withheld: Withheld
  readonly hidesReasoning: boolean
}

// Running usage: what was used of a stream is known whenever it ends. Without `include_usage` a server ignores the wish for running usage.
const countedUsage = { include_usage: true, continuous_usage_stats: true }

/** The settings of a model that change a body. */
export interface Edited {
  readonly policy: ModelPolicy
  readonly countUsage: boolean
  readonly carryOn: unknown
}

/** Plans the changes of a body. Streams of a model that carries on have ids, which a server leaves out with `include_reasoning: false`. */
export const editsOf = (body: RequestBody, { carryOn, countUsage, policy }: Edited): UpstreamEdits => {
  const { names, request } = body
  const set = new Map<string, string>()
  const forced = (name: string) => Object.hasOwn(policy.forced, name)
  const isAbsent = (name: string) => !names.has(name) || body.text(name) === "null"
  const ignored = controlFields.filter((name) => names.has(name) && !policy.allow.has(name) && !forced(name))
  for (const [name, value] of Object.entries(policy.defaults)) {
    if (isAbsent(name)) set.set(name, JSON.stringify(value))
  }
  for (const [name, value] of Object.entries(policy.forced)) set.set(name, JSON.stringify(value))
  let withheld = nothing
  if (request.stream === true && countUsage && !forced("stream_options")) {
    const asked = isAbsent("stream_options") ? policy.defaults["stream_options"] : request.stream_options
    const options: Readonly<Record<string, unknown>> = Predicate.isObject(asked) ? asked : {}
    const hasUsage = options["include_usage"] === true
    const hasRunning = hasUsage && options["continuous_usage_stats"] === true
    withheld = { ...withheld, usage: hasRunning ? "none" : hasUsage ? "running" : "all" }
    if (!hasRunning) set.set("stream_options", JSON.stringify({ ...options, ...countedUsage }))
  }
  const isShown = (name: string) => (set.get(name) ?? body.text(name)) === "true"
  const hidesReasoning =
    carryOn !== undefined && request.stream === true && (set.get("include_reasoning") ?? body.text("include_reasoning")) === "false"
  if (carryOn !== undefined && request.stream === true) {
    if (!isShown("return_token_ids")) {
      withheld = { ...withheld, ids: true }
      set.set("return_token_ids", "true")
    }
    if (hidesReasoning) set.set("include_reasoning", "true")
  }
  return { set, remove: new Set(ignored), ignored, withheld, hidesReasoning }
}
