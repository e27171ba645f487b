/**
 * What a completion, or the chunks of a stream, say: the reading that is compared with a subject's. It knows nothing of the client under test.
 *
 * @since 0.1.0
 */

/**
 * A tool call. A stream brings its arguments piece by piece.
 *
 * @category models
 * @since 0.1.0
 */
export interface FoldedCall {
  id: string | undefined
  name: string | undefined
  arguments: string
}

/**
 * One choice of an answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface FoldedChoice {
  text: string
  reasoning: string
  readonly calls: Array<FoldedCall>
  finish: string | undefined
}

/**
 * A whole answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Folded {
  readonly choices: ReadonlyArray<FoldedChoice>
  readonly usage: unknown
}

interface Said {
  readonly content?: unknown
  readonly reasoning?: unknown
  readonly reasoning_content?: unknown
  readonly tool_calls?: unknown
}

interface Choice {
  readonly index?: number
  readonly delta?: Said | null
  readonly message?: Said | null
  readonly finish_reason?: unknown
}

interface Call {
  readonly index?: number
  readonly id?: unknown
  readonly function?: { readonly name?: unknown; readonly arguments?: unknown }
}

interface Body {
  readonly choices?: ReadonlyArray<Choice> | null
  readonly usage?: unknown
}

// No case has more choices or calls; a subject that counts wrongly does not take the runner's memory.
const limit = 1000

const isPresent = (value: unknown) => typeof value === "string" && value !== ""

class Folder {
  readonly choices: Array<FoldedChoice> = []
  usage: unknown

  add(body: Body | null | undefined) {
    this.usage = body?.usage ?? this.usage
    for (const choice of body?.choices ?? []) this.#choice(choice)
  }

  #choice(choice: Choice) {
    const { finish_reason: finish, index = 0 } = choice
    if (index >= limit) return
    while (this.choices.length <= index) this.choices.push({ text: "", reasoning: "", calls: [], finish: undefined })
    const folded = this.choices[index]
    if (folded === undefined) return
    const { content, reasoning, reasoning_content: older, tool_calls: calls } = choice.delta ?? choice.message ?? {}
    if (typeof content === "string") folded.text += content
    const thought = reasoning ?? older
    if (typeof thought === "string") folded.reasoning += thought
    if (typeof finish === "string") folded.finish = finish
    if (Array.isArray(calls)) for (const [i, call] of (calls as ReadonlyArray<Call>).entries()) Folder.#call(folded.calls, call, i)
  }

  static #call(calls: Array<FoldedCall>, call: Call, position: number) {
    const index = call.index ?? position
    if (index >= limit) return
    while (calls.length <= index) calls.push({ id: undefined, name: undefined, arguments: "" })
    const folded = calls[index]
    if (folded === undefined) return
    const { arguments: piece, name } = call.function ?? {}
    if (isPresent(call.id)) folded.id = String(call.id)
    if (isPresent(name)) folded.name = String(name)
    if (typeof piece === "string") folded.arguments += piece
  }
}

/**
 * Folds bodies: one completion, or all chunks of a stream in order.
 *
 * @category folding
 * @since 0.1.0
 */
export const fold = (bodies: ReadonlyArray<unknown>): Folded => {
  const folder = new Folder()
  for (const body of bodies) folder.add(body as Body | undefined)
  return { choices: folder.choices, usage: folder.usage }
}
