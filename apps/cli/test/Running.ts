/**
 * The binary as a child process.
 */
import { afterAll } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))
// Dozens of processes start: what one has compiled the next need not.
const cache = mkdtempSync(join(tmpdir(), "paradigm-cache-"))
afterAll(() => rmSync(cache, { recursive: true }))

/** How a process ended, and what it wrote. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A running `paradigm`. */
export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ""
  stderr = ""

  constructor(args: ReadonlyArray<string>, env: Readonly<Record<string, string>>, stdin: string | undefined) {
    this.child = spawn(process.execPath, [main, ...args], { env: { PATH: process.env["PATH"], NODE_COMPILE_CACHE: cache, ...env } })
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text))
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text))
    this.child.stdin?.on("error", () => undefined)
    if (stdin !== undefined) this.child.stdin?.end(stdin)
    this.ended = once(this.child, "close").then(([code]) => ({ code, stdout: this.stdout, stderr: this.stderr }))
  }

  /** Waits for a text in what it has written. */
  readonly says = (pattern: RegExp) =>
    Effect.callback<RegExpExecArray, Error>((resume) => {
      const look = () => {
        const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
        if (found !== null) resume(Effect.succeed(found))
      }
      const ended = () => resume(Effect.fail(new Error(`It ended without ${pattern}: ${this.stdout}${this.stderr}`)))
      this.child.stdout?.on("data", look)
      this.child.stderr?.on("data", look)
      this.child.once("close", ended)
      look()
      return Effect.sync(() => {
        this.child.stdout?.off("data", look)
        this.child.stderr?.off("data", look)
        this.child.off("close", ended)
      })
    })

  /** Sends a signal, and waits until it has ended. */
  readonly stop = (signal: NodeJS.Signals) =>
    Effect.promise(() => {
      this.child.kill(signal)
      return this.ended
    })
}

/** What a process is given. */
export interface Options {
  readonly env?: Readonly<Record<string, string>>
  /** What is piped in; nothing where absent. */
  readonly stdin?: string
}

/** Starts the binary; it is killed when the scope closes. */
export const start = (args: ReadonlyArray<string>, { env = {}, stdin = "" }: Options = {}): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Running(args, env, stdin)),
    (running) => running.stop("SIGKILL")
  )

/** Runs the binary to its end. */
export const run = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(args, options), (running) => Effect.promise(() => running.ended)))
