/**
 * The other end of `StdioClient`, for clients in JavaScript: a program that speaks the protocol on its standard input and output, in Node, Deno
 * and Bun.
 *
 * @since 0.1.0
 */
import process from "node:process"
import { inspect } from "node:util"
import * as JsonLines from "../client/JsonLines.ts"
import * as StdioMessage from "../client/StdioMessage.ts"
import * as Subject from "../client/Subject.ts"

type Outcome = Extract<StdioMessage.FromSubject, { readonly type: "outcome" }>

/** One call: its signal, and who waits for the suite to take the last chunk. */
interface Pending {
  readonly aborter: AbortController
  readonly taken: Array<() => void>
}

const platform = () => {
  const { bun, deno, node } = process.versions
  return deno === undefined ? (bun === undefined ? `Node ${node}` : `Bun ${bun}`) : `Deno ${deno}`
}

const toOutcome = (call: number, { completion, error, message, outcome }: Subject.Outcome): Outcome =>
  outcome === "cannot"
    ? { type: "outcome", call, outcome, message: message ?? "it cannot" }
    : { type: "outcome", call, outcome, completion, error }

class Conversation {
  readonly #subject: Subject.Subject
  readonly #parallel: number
  readonly #clients = new Map<number, Subject.SubjectClient>()
  readonly #calls = new Map<number, Pending>()

  constructor(subject: Subject.Subject, parallel: number) {
    this.#subject = subject
    this.#parallel = parallel
  }

  hear(message: StdioMessage.ToSubject) {
    switch (message.type) {
      case "hello": {
        const { capabilities, name } = this.#subject
        return this.#say({
          type: "hello",
          protocol: 1,
          name,
          runtime: this.#subject.platform ?? platform(),
          capabilities,
          parallel: this.#parallel
        })
      }
      case "open": {
        const { client, type: _, ...options } = message
        return void this.#clients.set(client, this.#subject.open(options))
      }
      case "call":
        return void this.#call(message)
      case "continue":
        return this.#calls.get(message.call)?.taken.shift()?.()
      case "abort":
        return this.#calls.get(message.call)?.aborter.abort()
      case "close":
        return void this.#close(message.client)
    }
  }

  #say(message: StdioMessage.FromSubject) {
    process.stdout.write(JsonLines.encode(message))
  }

  async #call({ aborted, call, client, operation, paced, take }: Extract<StdioMessage.ToSubject, { readonly type: "call" }>) {
    const pending: Pending = { aborter: new AbortController(), taken: [] }
    if (aborted === true) pending.aborter.abort()
    this.#calls.set(call, pending)
    const onChunk = (chunk: unknown) =>
      new Promise<void>((resolve) => {
        if (paced === true) pending.taken.push(resolve)
        else resolve()
        this.#say({ type: "chunk", call, chunk })
      })
    const outcome = await this.#clients
      .get(client)
      ?.call(operation, { take, paced: paced === true, signal: pending.aborter.signal, onChunk })
    this.#calls.delete(call)
    if (outcome === undefined) return
    try {
      this.#say(toOutcome(call, outcome))
    } catch (error) {
      // As an answer that is nested too deep to be written.
      this.#say({ type: "outcome", call, outcome: "error", error: Subject.toSubjectError(error, inspect) })
    }
  }

  async #close(client: number) {
    await this.#clients.get(client)?.close()
    this.#clients.delete(client)
    this.#say({ type: "closed", client })
  }
}

/**
 * Speaks for a subject until standard input ends. `parallel` is how many cases the suite may run in this process at once: for more, it starts more
 * processes. Defaults to 8.
 *
 * @category running
 * @since 0.1.0
 */
export const serve = async (subject: Subject.Subject, options: { readonly parallel?: number | undefined } = {}): Promise<void> => {
  const conversation = new Conversation(subject, options.parallel ?? 8)
  const reader = new JsonLines.LineReader()
  for await (const bytes of process.stdin) {
    for (const line of reader.read(bytes as Uint8Array)) {
      if (line.trim() !== "") conversation.hear(JSON.parse(line) as StdioMessage.ToSubject)
    }
  }
}

/**
 * Makes a subject of a client's own calls, and speaks for it: `Subject.make`, with the inspection of this runtime for errors, and `serve`.
 *
 * @category running
 * @since 0.1.0
 */
export const serveCalls = (options: Parameters<typeof Subject.make>[0]): Promise<void> =>
  serve(Subject.make({ toError: (thrown) => Subject.toSubjectError(thrown, inspect), ...options }))
