/**
 * The list of what is run: every case in each of its variants, the same in every runtime, with a hash by which runners can be compared.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Basis } from "../case/Basis.ts"
import type { Case } from "../case/Case.ts"
import type { Variant } from "../fault/Script.ts"
import type { Subject } from "../client/Subject.ts"

/**
 * One case in one variant. The id of a case with axes names the variant: `sse/bom-leading[split=bytes]`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Instance {
  readonly id: string
  readonly case: Case
  readonly variant: Variant
}

/**
 * What a list of either side's cases is made of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Listed {
  readonly id: string
  readonly case: {
    readonly id: string
    readonly rule: string
    readonly level: "MUST" | "SHOULD"
    readonly basis: Basis
    readonly source: ReadonlyArray<string>
  }
}

const combinations = (axes: NonNullable<Case["axes"]>): ReadonlyArray<Variant> =>
  Object.entries(axes).reduce<ReadonlyArray<Variant>>(
    (variants, [axis, values]) => variants.flatMap((variant) => values.map((value) => ({ ...variant, [axis]: value }))),
    [{}]
  )

const instances = (item: Case): ReadonlyArray<Instance> => {
  if (item.axes === undefined) return [{ id: item.id, case: item, variant: {} }]
  return combinations(item.axes).map((variant) => ({
    id: `${item.id}[${Object.entries(variant)
      .map(([axis, value]) => `${axis}=${value}`)
      .join(",")}]`,
    case: item,
    variant
  }))
}

/**
 * All instances of some cases, in order.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (cases: ReadonlyArray<Case>): ReadonlyArray<Instance> => cases.flatMap(instances)

/**
 * Why a subject need not run an instance: it lacks a capability, or the case is for other runtimes. Undefined when it must.
 *
 * @category constructors
 * @since 0.1.0
 */
export const notApplicable = (instance: Instance, subject: Subject): string | undefined => {
  const { needs, runtimes } = instance.case
  const lacking = [...needs, ...(instance.variant.coding === undefined ? [] : [instance.variant.coding])].filter(
    (need) => !subject.capabilities.includes(need)
  )
  if (lacking.length > 0) return `needs ${lacking.join(", ")}`
  return runtimes !== undefined && !runtimes.includes(subject.runtime) ? `for ${runtimes.join(", ")}` : undefined
}

const sum = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0)

/**
 * About how many milliseconds an instance spends with waiting, by what its case says: 0 for most.
 *
 * @category getters
 * @since 0.1.0
 */
export const waitOf = ({ case: { consume, expect, operation, server } }: Instance): number => {
  const steps = server.flat()
  const delays = sum(steps.map((step) => (step.step === "delay" ? step.ms : 0)))
  const limits = steps.some(({ step }) => step === "stall") ? Object.values(operation.client?.timeouts ?? { idle: 2000 }) : []
  const retries = sum((expect.wire ?? []).map(({ afterMs }) => afterMs?.atLeast ?? 0))
  return Math.max(delays, ...limits, expect.timing?.atLeastMs ?? 0) + retries + (consume?.stallMs ?? 0)
}

/**
 * How many cases and instances a plan has, and a hash of all they say. Two runners with the same summary run the same list.
 *
 * @category models
 * @since 0.1.0
 */
export const Summary = Schema.Struct({ cases: Schema.Natural, instances: Schema.Natural, hash: Schema.String })
/** @since 0.1.0 */
export type Summary = typeof Summary.Type

/**
 * The summary of a plan.
 *
 * @category constructors
 * @since 0.1.0
 */
export const summarize = async (plan: ReadonlyArray<Listed>): Promise<Summary> => {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(plan)))
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("")
  return { cases: new Set(plan.map((instance) => instance.case.id)).size, instances: plan.length, hash: hex.slice(0, 16) }
}

/**
 * The line every runner prints.
 *
 * @category printing
 * @since 0.1.0
 */
export const format = (summary: Summary): string => `conformance: ${summary.instances} cases, hash ${summary.hash}`
