/**
 * Options from environment variables. A page has none, and does not load this module.
 *
 * @since 0.1.0
 */

/**
 * Environment variables for options that are not given.
 *
 * @category options
 * @since 0.1.0
 */
export interface Environment {
  /** Name and value of the variable of an option. An empty variable counts as absent. */
  readonly find: (option: "apiKey" | "baseUrl") => readonly [variable: string, value: string] | undefined
  /** The variable of the key, and what to do when it is not set. */
  readonly missingKey: readonly [variable: string, detail: string]
}

const variables = { apiKey: ["PARADIGM_API_KEY", "LIGHTON_API_KEY"], baseUrl: ["PARADIGM_BASE_URL"] } as const

/**
 * Makes the environment of a runtime from a function that reads a variable: `PARADIGM_API_KEY` or `LIGHTON_API_KEY`, and `PARADIGM_BASE_URL`.
 *
 * @example
 * ```ts
 * import { ParadigmClient } from "@paradigm-effect/core"
 *
 * const environment = ParadigmClient.environmentOf((name) => (name === "LIGHTON_API_KEY" ? "a-key" : undefined))
 * console.log(environment.find("apiKey")) // => [ 'LIGHTON_API_KEY', 'a-key' ]
 * ```
 *
 * @category options
 * @since 0.1.0
 */
export const environmentOf = (read: (name: string) => string | undefined): Environment => ({
  find: (option) => {
    for (const variable of variables[option]) {
      const value = read(variable)
      if (value) return [variable, value]
    }
    return undefined
  },
  missingKey: ["PARADIGM_API_KEY", "is not set; set it or LIGHTON_API_KEY, or give apiKey"]
})
