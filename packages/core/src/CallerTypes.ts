/**
 * Every type that a function of a runtime package takes or returns. A runtime package exports them through its `Paradigm`, so that the declaration
 * files of its callers can name them.
 *
 * @since 0.1.0
 */
export type * from "./Anomaly.ts"
export type * from "./ChatCompletion.ts"
export type * from "./CompletionStream.ts"
export type { Model, ModelList, ModelResponse } from "./Model.ts"
export type {
  Attempt,
  CallOptions,
  CompletionResponse,
  Logger,
  LogLevel,
  ParadigmClient,
  ResponseInfo,
  Service,
  StreamResponse
} from "./ParadigmClient.ts"
export type * from "./ParadigmError.ts"
export type {
  CallPromise,
  Completions,
  Create,
  LeanClient,
  Models,
  ModelsPromise,
  ParadigmPromise,
  PromiseCallOptions,
  PromiseResponse,
  RunToolsRequest,
  SchemaCompletionRequest,
  WithResponse
} from "./ParadigmPromise.ts"
export type {
  FormatOptions,
  ParsedChoice,
  ParsedCompletion,
  ParsedMessage,
  RunnableTool,
  SchemaFormat,
  SchemaResult,
  StandardSchema,
  ToolContext,
  ToolOptions
} from "./StandardSchema.ts"
