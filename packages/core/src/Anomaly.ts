/**
 * Deviations from the contract that cost a response a field but not its text. What the client repairs or leaves out is never lost in silence:
 * each deviation is listed in `ResponseInfo.anomalies` and in `ParadigmError.anomalies`.
 *
 * @since 0.1.0
 */

/**
 * One deviation of a response from the contract.
 *
 * @category models
 * @since 0.1.0
 */
export interface Anomaly {
  /** The name of the repair that was applied, for example `usage-counts`. */
  readonly repair: string
  /** The path of the field, for example `choices[0].delta.tool_calls[0].index`. At most 200 characters. */
  readonly path: string
  /** What the contract has there, for example `integer of at least 0`. */
  readonly expected: string
  /** The beginning of the JSON text that the server sent there, at most 200 characters. Empty when the field was missing. */
  readonly raw: string
}
