/**
 * A client in any language as a subject: a program that is started, spoken to as `StdioMessage` says, and started anew when it hangs, crashes,
 * or writes what is no message.
 *
 * @since 0.1.0
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { Runtime } from "../case/Case.ts"
import * as JsonLines from "./JsonLines.ts"
import * as StdioMessage from "./StdioMessage.ts"
import type { Call, ClientOptions, Outcome, Subject, SubjectClient } from "./Subject.ts"

/**
 * `greetMs` and `closeMs` are the time limits of a greeting and of closing a client, in milliseconds. Default to 10,000 and 2,000. `jobs` is how many
 * cases are run at once: as many processes are started as that takes, when they are needed. Defaults to 1.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly greetMs?: number | undefined
  readonly closeMs?: number | undefined
  readonly jobs?: number | undefined
}

/**
 * The failure of a program. It has no stack: that would be the suite's.
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

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most)}… (${text.length} characters)` : text)

/** The last messages about one client, for the report of a crash. */
class Conversation {
  readonly lines: Array<string> = []
  readonly #since = performance.now()

  note(arrow: string, text: string) {
    this.lines.push(`${Math.round(performance.now() - this.#since)} ms ${arrow} ${cut(text, 300)}`)
    if (this.lines.length > 12) this.lines.shift()
  }
}

interface Pending {
  readonly chunks: Array<unknown>
  readonly call: Call
  readonly conversation: Conversation
  readonly settle: (outcome: Outcome | SubjectFailure) => void
}

const within = (ms: number, done: () => void) => {
  const timer = setTimeout(done, ms)
  return () => clearTimeout(timer)
}

/** One run of the program. */
class Program {
  readonly child: ChildProcessWithoutNullStreams
  readonly calls = new Map<number, Pending>()
  readonly closes = new Map<number, () => void>()
  readonly errors: Array<string> = []
  readonly greeting: Promise<Hello | SubjectFailure>
  failure: SubjectFailure | undefined
  readonly #general = new Conversation()
  #greeted: (hello: Hello | SubjectFailure) => void = () => undefined

  constructor(command: string, greetMs: number) {
    // In a group of its own: killing only the shell, or a wrapper, would leave the real program behind.
    this.child = spawn(command, { shell: true, detached: true, stdio: "pipe" })
    this.child.on("error", (error) => this.fail(`could not be started: ${error.message}`))
    // Its last words may still be on their way.
    this.child.on("exit", (code, signal) => void setTimeout(() => this.fail(`ended by itself (${signal ?? `exit code ${code}`})`), 50))
    this.child.stdin.on("error", () => undefined)
    this.#listen(this.child.stdout, (line) => this.#hear(line))
    this.#listen(this.child.stderr, (line) => {
      this.errors.push(cut(line, 500))
      if (this.errors.length > 100) this.errors.shift()
    })
    const stop = within(greetMs, () => this.fail(`did not greet within ${greetMs} ms`))
    this.greeting = new Promise((resolve) => {
      this.#greeted = (hello) => {
        stop()
        resolve(hello)
      }
    })
    this.say({ type: "hello", protocol: StdioMessage.protocol }, this.#general)
  }

  #listen(stream: NodeJS.ReadableStream, hear: (line: string) => void) {
    const reader = new JsonLines.LineReader()
    const tryHear = (read: () => ReadonlyArray<string>) => {
      try {
        for (const line of read()) if (line.trim() !== "") hear(line)
      } catch (error) {
        this.fail(`wrote what cannot be read: ${messageOf(error)}`)
      }
    }
    stream.on("data", (bytes: Uint8Array) => tryHear(() => reader.read(bytes)))
    stream.on("end", () => tryHear(() => [reader.rest()]))
  }

  say(message: StdioMessage.ToSubject, conversation: Conversation) {
    const line = JsonLines.encode(message)
    conversation.note("to the subject:", line.trimEnd())
    this.child.stdin.write(line)
  }

  #hear(line: string) {
    if (this.failure !== undefined) return
    let message: StdioMessage.FromSubject
    try {
      message = StdioMessage.decode(line)
    } catch (error) {
      return this.fail(`said what is no message, ${JSON.stringify(cut(line, 200))}: ${messageOf(error)}`)
    }
    switch (message.type) {
      case "hello":
        if ((message.protocol ?? StdioMessage.protocol) !== StdioMessage.protocol) {
          return this.fail(`speaks version ${message.protocol} of the protocol, and this suite version ${StdioMessage.protocol}`)
        }
        return this.#greeted(message)
      case "closed":
        return this.closes.get(message.client)?.()
      case "chunk":
      case "outcome": {
        const pending = this.calls.get(message.call)
        if (pending === undefined) return this.fail(`spoke of call ${message.call}, which is none, or over`)
        pending.conversation.note("from the subject:", line)
        return this.#answer(message, pending)
      }
    }
  }

  #answer(
    message: Exclude<StdioMessage.FromSubject, { readonly type: "hello" | "closed" }>,
    { call, chunks, conversation, settle }: Pending
  ) {
    if (message.type === "chunk") {
      chunks.push(message.chunk)
      call.onChunk(message.chunk).then(
        () => (call.paced ? this.say({ type: "continue", call: message.call }, conversation) : undefined),
        (error: unknown) => this.fail(`could not be listened to: ${String(error)}`)
      )
      return
    }
    if (message.outcome === "cannot") return settle({ outcome: "cannot", chunks, message: message.message })
    const { completion, error, outcome } = message
    settle({
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
              // What goes to the terminal reaches logs as well.
              printed: { ...error.printed, stderr: this.errors.join("\n") }
            }
    })
  }

  trace(conversation: Conversation = this.#general): ReadonlyArray<string> {
    return [...conversation.lines, ...this.errors.slice(-20).map((line) => `stderr: ${line}`)]
  }

  /** Ends it; whoever waits for it fails with the reason. */
  fail(what: string) {
    if (this.failure !== undefined) return
    const failure = new SubjectFailure(`the subject ${what}`)
    this.failure = failure
    this.kill()
    this.#greeted(failure)
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

/** A process of the program, started when a client is opened, and anew when it has failed, unless that was in vain three times in a row. */
class Seat {
  clients = 0
  restarts = 0
  #inVain = 0
  #program: Promise<Program> | undefined
  readonly #start: () => Program

  constructor(start: () => Program, first?: Program) {
    this.#start = start
    this.#program = first === undefined ? undefined : Promise.resolve(first)
  }

  alive(): Promise<Program> {
    this.#program = this.#program === undefined ? this.#started() : this.#program.then((last) => this.#revived(last))
    return this.#program
  }

  async #started() {
    const program = this.#start()
    this.#inVain = (await program.greeting) instanceof SubjectFailure ? this.#inVain + 1 : 0
    return program
  }

  #revived(last: Program) {
    if (last.failure === undefined || this.#inVain === 3) return last
    this.restarts += 1
    return this.#started()
  }

  async close() {
    const program = await this.#program
    if (program === undefined) return
    program.failure ??= new SubjectFailure("the subject was closed")
    program.child.stdin.end()
    program.kill()
  }
}

/** A client of the program: its messages, until it is closed. */
class StdioSubjectClient implements SubjectClient {
  readonly #number: number
  readonly #numbers: Numbers
  readonly #seat: Seat
  readonly #closeMs: number
  readonly #opened: Promise<Program>
  readonly #conversation = new Conversation()
  readonly #calls = new Set<number>()
  #program: Program | undefined

  constructor(seat: Seat, numbers: Numbers, closeMs: number, options: ClientOptions) {
    const number = numbers.next()
    seat.clients += 1
    this.#number = number
    this.#numbers = numbers
    this.#seat = seat
    this.#closeMs = closeMs
    this.#opened = seat.alive().then((program) => {
      this.#program = program
      if (program.failure === undefined) program.say({ type: "open", client: number, ...options }, this.#conversation)
      return program
    })
  }

  async call(operation: Parameters<SubjectClient["call"]>[0], how: Call): Promise<Outcome> {
    const program = await this.#opened
    if (program.failure !== undefined) throw program.failure
    const call = this.#numbers.next()
    const conversation = this.#conversation
    this.#calls.add(call)
    return await new Promise<Outcome>((resolve, reject) => {
      const onAbort = () => program.say({ type: "abort", call }, conversation)
      program.calls.set(call, {
        chunks: [],
        call: how,
        conversation,
        settle: (outcome) => {
          program.calls.delete(call)
          this.#calls.delete(call)
          how.signal.removeEventListener("abort", onAbort)
          if (outcome instanceof SubjectFailure) reject(outcome)
          else resolve(outcome)
        }
      })
      const { aborted } = how.signal
      const modes = { ...(how.paced ? { paced: true as const } : {}), ...(aborted ? { aborted } : {}) }
      program.say({ type: "call", call, client: this.#number, operation, take: how.take, ...modes }, conversation)
      if (!aborted) how.signal.addEventListener("abort", onAbort)
    })
  }

  trace(): ReadonlyArray<string> {
    return this.#program?.trace(this.#conversation) ?? []
  }

  async close() {
    const program = await this.#opened
    // A call that is still pending was given up on. The program is started anew now, and not in the time of the next case.
    if (this.#calls.size > 0) program.fail("was given up on: it hangs")
    if (program.failure === undefined) await this.#closed(program)
    else await this.#seat.alive()
    this.#seat.clients -= 1
  }

  #closed(program: Program) {
    return new Promise<void>((resolve) => {
      const stop = within(this.#closeMs, () => program.fail(`did not close a client within ${this.#closeMs} ms`))
      program.closes.set(this.#number, () => {
        program.closes.delete(this.#number)
        stop()
        resolve()
      })
      program.say({ type: "close", client: this.#number }, this.#conversation)
    })
  }
}

class Numbers {
  #last = 0
  next() {
    return ++this.#last
  }
}

/**
 * A program as a subject. `restarts` counts how often a process had to be started anew.
 *
 * @category models
 * @since 0.1.0
 */
export interface StdioClient {
  readonly subject: Subject
  readonly restarts: () => number
  readonly close: () => Promise<void>
}

/** The runtime whose limits hold for a platform. */
const runtimeOf = (platform: string): Runtime => Runtime.literals.find((runtime) => platform.toLowerCase().startsWith(runtime)) ?? "node"

/**
 * Starts a program, which is the command line of a shell. Rejects with a `SubjectFailure` when it does not greet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const start = async (command: string, options: Options = {}): Promise<StdioClient> => {
  const { closeMs = 2_000, greetMs = 10_000, jobs = 1 } = options
  const launch = () => new Program(command, greetMs)
  const first = launch()
  const hello = await first.greeting
  if (hello instanceof SubjectFailure) throw new SubjectFailure([hello.message, ...first.trace()].join("\n"))
  const { capabilities, name } = hello
  const parallel = hello.parallel ?? 1
  const platform = hello.runtime ?? "node"
  const numbers = new Numbers()
  const seats = Array.from({ length: Math.ceil(jobs / parallel) }, (_, i) => new Seat(launch, i === 0 ? first : undefined))
  const open = (clientOptions: ClientOptions): SubjectClient => {
    // The fewest clients; started ones before others.
    const seat =
      seats.find(({ clients }) => clients < parallel) ?? seats.reduce((least, other) => (other.clients < least.clients ? other : least))
    return new StdioSubjectClient(seat, numbers, closeMs, clientOptions)
  }
  return {
    subject: { name, runtime: runtimeOf(platform), platform, capabilities, open },
    restarts: () => seats.reduce((sum, { restarts }) => sum + restarts, 0),
    close: async () => void (await Promise.all(seats.map((seat) => seat.close())))
  }
}
