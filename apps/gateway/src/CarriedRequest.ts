/**
 * A request whose stream another replica goes on with: the members of its body that decide how.
 */
import * as Predicate from "effect/Predicate"
import { natural } from "./TokenCounts.ts"

/** Members that a replica cannot go on with from ids: what they count or constrain begins anew. */
const fromStartAlone = ["bad_words", "thinking_token_budget", "repetition_detection", "logits_processors", "vllm_xargs", "guided_json"]
const constraints = ["structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structural_tag"]

const media = /"\w+_url"\s*:|"input_audio"\s*:/

const isNothing = (value: unknown) => value == null || value === false || value === 0 || (Array.isArray(value) && value.length === 0)

/** The members of a body, by name. */
export class CarriedRequest {
  readonly #text: (name: string) => string | undefined

  /** `text` gives the JSON of a member of the body, as the model server got it. */
  constructor(text: (name: string) => string | undefined) {
    this.#text = text
  }

  #value(name: string): unknown {
    const text = this.#text(name)
    return text === undefined ? undefined : JSON.parse(text)
  }

  /** Whether the same request has the same answer. */
  get isReproducible(): boolean {
    return this.#value("temperature") === 0 || !isAbsent(this.#text("seed"))
  }

  /** Maximum number of tokens; `undefined` for the room that the model has. */
  get maxTokens(): number | undefined {
    const asked = this.#value("max_completion_tokens") ?? this.#value("max_tokens")
    return asked === undefined || asked === null ? undefined : natural(asked)
  }

  get choices(): number {
    return Math.max(1, natural(this.#value("n")))
  }

  /** Code points of the longest stop string. */
  get stopLength(): number {
    const stop = this.#value("stop")
    const stops = typeof stop === "string" ? [stop] : Array.isArray(stop) ? stop : []
    return Math.max(0, ...stops.map((one) => [...String(one)].length))
  }

  get includesStop(): boolean {
    return this.#value("include_stop_str_in_output") === true
  }

  /** The JSON of the messages, and of one more. */
  withMessage(message: object): string {
    const messages = (this.#text("messages") ?? "[]").trimEnd()
    return `${messages.slice(0, -1)},${JSON.stringify(message)}]`
  }

  /** What becomes of tools: `forced` for a choice of the client. */
  get tools(): "none" | "auto" | "forced" {
    const choice = this.#value("tool_choice") ?? "auto"
    const tools = this.#value("tools")
    if (!Array.isArray(tools) || tools.length === 0 || choice === "none") return "none"
    return choice === "auto" ? "auto" : "forced"
  }

  /** Why ids cannot be gone on with; `undefined` if they can. */
  get needsStart(): string | undefined {
    if (this.choices > 1) return "n > 1"
    for (const name of ["logprobs", "presence_penalty", "frequency_penalty", "use_beam_search", ...fromStartAlone, ...constraints]) {
      if (!isNothing(this.#value(name))) return name
    }
    const format = this.#value("response_format")
    if (Predicate.isObject(format) && format["type"] !== "text") return "response_format"
    if (this.tools === "forced") return "tool_choice"
    return media.test(this.#text("messages") ?? "") ? "media" : undefined
  }

  /** A member that the template reads and `/tokenize` does not; `undefined` if there is none. */
  get templateMember(): string | undefined {
    return ["reasoning_effort", "documents"].find((name) => !isNothing(this.#value(name)))
  }

  /** Members that change after `kept` tokens of an answer. The same seed would repeat the random numbers. */
  lowered(kept: number): Readonly<Record<string, unknown>> {
    const seed = this.#text("seed")
    const least = natural(this.#value("min_tokens"))
    return {
      ...(least > kept ? { min_tokens: least - kept } : {}),
      ...(isAbsent(seed) ? {} : { seed: new Verbatim(String(BigInt.asIntN(64, BigInt(seed) + BigInt(kept)))) })
    }
  }

  /** An object with members that are written as they are. */
  verbatim(members: Readonly<Record<string, unknown>>): Verbatim {
    return new Verbatim(this.body([], members))
  }

  /** A JSON body of members as the client sent them, and of `set`. */
  body(copied: ReadonlyArray<string>, set: Readonly<Record<string, unknown>>): string {
    const members = copied.flatMap((name) => {
      const text = Object.hasOwn(set, name) ? undefined : this.#text(name)
      return isAbsent(text) ? [] : [`${JSON.stringify(name)}:${text}`]
    })
    for (const [name, value] of Object.entries(set)) {
      members.push(`${JSON.stringify(name)}:${value instanceof Verbatim ? value.text : JSON.stringify(value)}`)
    }
    return `{${members.join(",")}}`
  }
}

const isAbsent = (text: string | undefined): text is undefined | "null" => text === undefined || text === "null"

/** JSON that is written as it is: a seed has 64 bits. */
export class Verbatim {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}
