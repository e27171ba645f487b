/**
 * The members of `Paradigm` that do not need Effect.
 *
 * @since 0.1.0
 */
export type * from "@paradigm-effect/core/CallerTypes"
export {
  connect,
  Error,
  fromReadableStream,
  isError,
  logTo,
  responseFormat,
  telemetry,
  tool,
  toResponse,
  withHelpers,
  type ConnectionOptions,
  type ConnectOptions,
  type Pem,
  type UndiciDispatcher
} from "./Paradigm.ts"
