/**
 * A client in any language as a subject: a program that is started once, spoken to as `StdioMessage` says, and started anew when it hangs,
 * crashes, or says what is no message.
 *
 * @since 0.1.0
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as StdioMessage from "./StdioMessage.ts"
import type { Call, ClientOptions, Outcome, Subject, SubjectClient } from "./Subject.ts"

/**
 * How long a program has to greet, and to let go of a client, in milliseconds.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly greetMs?: number | undefined
  readonly closeMs?: number | undefined
}

/**
 * What a program did that it should not. Its stack is this suite's and tells nothing: the message is all there is.
 *
 * @category errors
 * @since 0.1.0
 */
export class SubjectFailure extends Error {
  override readonly name = "SubjectFailure"
  constructor(message: string) {
    super(message)
    this.stack = message
  }
}

type Hello = Extract<StdioMessage.FromSubject, { readonly type: "hello" }>

interface Pending {
  readonly chunks: Array<unknown>
  readonly call: Call
  readonly settle: (outcome: Outcome | SubjectFailure) => void
}

const nothing = (): ReadonlyArray<string> => []

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most)}… (${text.length} characters)` : text)

/** One run of the program. */
class Process {
  readonly child: ChildProcessWithoutNullStreams
  readonly calls = new Map<number, Pending>()
  readonly closes = new Map<number, () => void>()
  failure: SubjectFailure | undefined
  errors: Array<string> = []
  greeted: (hello: Hello | SubjectFailure) => void = () => undefined
  private conversation: Array<string> = []
  private since = performance.now()

  constructor(command: string) {
    // A group of its own: a shell, or a wrapper, that is ended alone would leave the real program behind.
    this.child = spawn(command, { shell: true, detached: true, stdio: "pipe" })
    this.child.on("error", (error) => this.fail(`could not be started: ${error.message}`))
    // What it said last may still be on its way.
    this.child.on("exit", (code, signal) => void setTimeout(() => this.fail(`ended by itself (${signal ?? `exit code ${code}`})`), 50))
    this.child.stdin.on("error", () => undefined)
    createInterface({ input: this.child.stdout }).on("line", (line) => this.hear(line))
    createInterface({ input: this.child.stderr }).on("line", (line) => {
      this.errors.push(cut(line, 500))
      if (this.errors.length > 50) this.errors.shift()
    })
  }

  /** What was said before is another case's. */
  forget() {
    this.conversation = []
    this.errors = []
    this.since = performance.now()
  }

  private note(arrow: string, text: string) {
    this.conversation.push(`${Math.round(performance.now() - this.since)} ms ${arrow} ${cut(text, 300)}`)
    if (this.conversation.length > 12) this.conversation.shift()
  }

  say(message: StdioMessage.ToSubject) {
    const line = JSON.stringify(message)
    this.note("to the subject:", line)
    this.child.stdin.write(`${line}\n`)
  }

  private hear(line: string) {
    if (line.trim() === "" || this.failure !== undefined) return
    this.note("from the subject:", line)
    let message: StdioMessage.FromSubject
    try {
      message = StdioMessage.decode(line)
    } catch (error) {
      return this.fail(
        `said what is no message, ${JSON.stringify(cut(line, 200))}: ${error instanceof Error ? error.message : String(error)}`
      )
    }
    switch (message.type) {
      case "hello":
        return this.greeted(message)
      case "closed":
        return this.closes.get(message.client)?.()
      case "chunk":
      case "outcome":
        return this.answer(message)
    }
  }

  private answer(message: Exclude<StdioMessage.FromSubject, { readonly type: "hello" | "closed" }>) {
    const pending = this.calls.get(message.call)
    if (pending === undefined) return this.fail(`spoke of call ${message.call}, which is none, or over`)
    const { call, chunks } = pending
    if (message.type === "chunk") {
      chunks.push(message.chunk)
      call.onChunk(message.chunk).then(
        () => this.say({ type: "continue", call: message.call }),
        (error: unknown) => this.fail(`could not be listened to: ${String(error)}`)
      )
      return
    }
    const { completion, error, outcome } = message
    pending.settle({
      outcome,
      chunks,
      completion: completion ?? undefined,
      error:
        error == null
          ? undefined
          : {
              reason: error.reason,
              message: error.message,
              retryable: error.retryable,
              status: error.status ?? undefined,
              code: error.code ?? undefined,
              stage: error.stage ?? undefined,
              phase: error.phase ?? undefined,
              requestId: error.requestId ?? undefined,
              partial: error.partial ?? undefined,
              usage: error.usage ?? undefined,
              // What goes to the terminal ends up in logs as well.
              printed: { ...error.printed, stderr: this.errors.join("\n") }
            }
    })
  }

  /** What was said since the last client was made, and what it wrote to stderr. */
  trace(): ReadonlyArray<string> {
    return [...this.conversation, ...this.errors.slice(-10).map((line) => `stderr: ${line}`)]
  }

  /** Ends it; what is pending fails with the reason. */
  fail(what: string) {
    if (this.failure !== undefined) return
    const failure = new SubjectFailure(`the subject ${what}`)
    this.failure = failure
    this.kill()
    this.greeted(failure)
    for (const { settle } of this.calls.values()) settle(failure)
    for (const closed of this.closes.values()) closed()
  }

  kill() {
    try {
      if (this.child.pid !== undefined) process.kill(-this.child.pid, "SIGKILL")
    } catch {
      // It has ended by itself.
    }
  }
}

const within = (ms: number, done: () => void) => {
  const timer = setTimeout(done, ms)
  return () => clearTimeout(timer)
}

const launch = (command: string, greetMs: number) =>
  new Promise<readonly [Process, Hello | SubjectFailure]>((resolve) => {
    const started = new Process(command)
    const stop = within(greetMs, () => started.fail(`did not greet within ${greetMs} ms`))
    started.greeted = (hello) => {
      stop()
      started.greeted = () => undefined
      resolve([started, hello])
    }
    started.say({ type: "hello", protocol: StdioMessage.protocol })
  })

/**
 * A program as a subject. `restarts` tells how often it had to be started anew.
 *
 * @category models
 * @since 0.1.0
 */
export interface StdioClient {
  readonly subject: Subject
  readonly restarts: () => number
  readonly close: () => Promise<void>
}

/**
 * Starts a program, a shell's command line. Rejects with a `SubjectFailure` when it does not greet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const start = async (command: string, options: Options = {}): Promise<StdioClient> => {
  const { closeMs = 2_000, greetMs = 10_000 } = options
  const [first, hello] = await launch(command, greetMs)
  if (hello instanceof SubjectFailure) throw new SubjectFailure([hello.message, ...first.trace()].join("\n"))
  const { capabilities, name, runtime = "node" } = hello
  let restarts = 0
  let inVain = 0
  let numbers = 0

  /** The program, started anew if it has ended, unless that was in vain three times in a row. */
  let alive: Promise<Process> = Promise.resolve(first)
  const revived = () => {
    alive = alive.then(async (last) => {
      if (last.failure === undefined || inVain === 3) return last
      restarts += 1
      const [next, greeting] = await launch(command, greetMs)
      inVain = greeting instanceof SubjectFailure ? inVain + 1 : 0
      return next
    })
    return alive
  }

  const call = async (client: number, opened: Promise<Process>, operation: Parameters<SubjectClient["call"]>[0], how: Call) => {
    const program = await opened
    if (program.failure !== undefined) throw program.failure
    const number = ++numbers
    return await new Promise<Outcome>((resolve, reject) => {
      const onAbort = () => program.say({ type: "abort", call: number })
      program.calls.set(number, {
        chunks: [],
        call: how,
        settle: (outcome) => {
          program.calls.delete(number)
          how.signal.removeEventListener("abort", onAbort)
          if (outcome instanceof SubjectFailure) reject(outcome)
          else resolve(outcome)
        }
      })
      const { aborted } = how.signal
      program.say({ type: "call", call: number, client, operation, take: how.take, ...(aborted ? { aborted } : {}) })
      if (!aborted) how.signal.addEventListener("abort", onAbort)
    })
  }

  const open = (clientOptions: ClientOptions): SubjectClient => {
    const client = ++numbers
    let trace: () => ReadonlyArray<string> = nothing
    const opened = revived().then((program) => {
      trace = () => program.trace()
      program.forget()
      if (program.failure === undefined) program.say({ type: "open", client, ...clientOptions })
      return program
    })
    return {
      call: (operation, how) => call(client, opened, operation, how),
      trace: () => trace(),
      close: async () => {
        const program = await opened
        // Whoever still owes an answer was given up on. It starts anew now, and not on the next case's time.
        if (program.calls.size > 0) program.fail("was given up on: it hangs")
        if (program.failure !== undefined) return void (await revived())
        await new Promise<void>((resolve) => {
          const stop = within(closeMs, () => program.fail(`did not close a client within ${closeMs} ms`))
          program.closes.set(client, () => {
            program.closes.delete(client)
            stop()
            resolve()
          })
          program.say({ type: "close", client })
        })
      }
    }
  }

  return {
    subject: { name, runtime, capabilities, open },
    restarts: () => restarts,
    close: async () => {
      const program = await alive
      program.failure ??= new SubjectFailure("the subject was closed")
      program.child.stdin.end()
      program.kill()
    }
  }
}
