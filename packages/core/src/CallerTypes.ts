/**
 * Every type that a function of a runtime package takes or returns. A runtime package exports them through its `Paradigm`, so that the declaration
 * files of its callers can name them.
 *
 * @since 0.1.0
 */
export type * from "./Anomaly.ts"
export type * from "./ChatCompletion.ts"
export type { CallOptions, CompletionResponse, ParadigmClient, ResponseInfo, Service, StreamResponse } from "./ParadigmClient.ts"
export type * from "./ParadigmError.ts"
export type { CallPromise, ChunkStream, Completions, ParadigmPromise, PromiseCallOptions } from "./ParadigmPromise.ts"
