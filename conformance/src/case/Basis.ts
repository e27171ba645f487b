/**
 * The authority of a case: who says that a client or server has to behave so, where, and how firmly.
 *
 * A case never demands more than its clause: the schema refuses a level above the keyword, a MUST of this project's own, and a citation that
 * does not lead to the clause.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * - `standard`: a clause of an RFC, of WHATWG or of the OpenAPI specification
 * - `contract`: the published specification of the endpoint, or the recorded behaviour of vLLM, which serves its models
 * - `house`: a decision of this project
 *
 * @category models
 * @since 0.1.0
 */
export const Basis = Schema.Literals(["standard", "contract", "house"])
/** @since 0.1.0 */
export type Basis = typeof Basis.Type

/**
 * The levels of a case. A SHOULD that fails does not fail a run, unless it is strict.
 *
 * @category models
 * @since 0.1.0
 */
export const Level = Schema.Literals(["MUST", "SHOULD"])
/** @since 0.1.0 */
export type Level = typeof Level.Type

const Keyword = Schema.Literals(["MUST", "SHOULD", "MAY"])

/**
 * The fields of a case that state its authority.
 *
 * @category models
 * @since 0.1.0
 */
export const fields = {
  level: Level,
  basis: Basis.annotate({
    description:
      "standard: a clause of an RFC, of WHATWG or of OpenAPI. contract: the endpoint's published specification, or vLLM's recorded behaviour. house: a decision of this project"
  }),
  keyword: Schema.optionalKey(Keyword).annotateKey({
    description:
      "The keyword of the clause, which the level does not exceed. MUST stands for imperatives of an algorithm, for what a schema requires, and for what a specification states without exception"
  }),
  source: Schema.NonEmptyArray(Schema.NonEmptyString).annotateKey({
    description: "The clauses: addresses with a fragment, recording:SERVER/NAME, or policy"
  }),
  seen: Schema.optionalKey(Schema.NonEmptyArray(Schema.String)).annotateKey({
    description: "Public reports of servers or clients that behave so: evidence, not authority"
  })
}

interface Based {
  readonly level: Level
  readonly basis: Basis
  readonly keyword?: typeof Keyword.Type
  readonly source: ReadonlyArray<string>
}

/**
 * The prefix of a citation of a recorded response.
 *
 * @category constants
 * @since 0.1.0
 */
export const recordingPrefix = "recording:"

const hasFragment = (source: string) => URL.canParse(source) && new URL(source).hash.length > 1

/**
 * What is wrong with the authority of a case, one sentence each; none when its level and its citations hold.
 *
 * @category checking
 * @since 0.1.0
 */
export const problems = ({ basis, keyword, level, source }: Based): Array<string> => {
  const found: Array<string> = []
  const isRecording = (item: string) => basis !== "standard" && item.startsWith(recordingPrefix) && item.includes("/")
  const isPolicy = (item: string) => basis === "house" && item === "policy"
  for (const item of source) {
    if (!isPolicy(item) && !isRecording(item) && !hasFragment(item)) {
      found.push(`source ${JSON.stringify(item)} does not lead to a clause: cite an address with a fragment, or a recording`)
    }
  }
  if (basis === "house") {
    if (level === "MUST") found.push("a house case is a SHOULD at most")
    if (keyword !== undefined) found.push("a house case has no keyword: nobody but this project asks for it")
    return found
  }
  if (keyword === undefined) found.push(`a ${basis} case names the keyword of its clause`)
  else if (keyword === "MAY") found.push("a clause with MAY asks for nothing: a case on it is a house case")
  else if (level === "MUST" && keyword !== "MUST") found.push(`level MUST exceeds the clause, which says ${keyword}`)
  return found
}

/**
 * The filter of a schema of cases that holds `problems` empty.
 *
 * @category checking
 * @since 0.1.0
 */
export const check = Schema.makeFilter((item: Based) => problems(item))
