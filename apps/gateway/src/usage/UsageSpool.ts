/**
 * Events that are not in the database yet, on the local disk: an event is written before its request is over. The write survives the death of the process;
 * it is flushed to the disk every second, so that a power failure costs the last second.
 */
import * as Data from "effect/Data"
import { closeSync, existsSync, fdatasync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from "node:fs"
import { join } from "node:path"
import { decode, encode, type UsageEvent } from "./UsageEvent.ts"

/** The folder of the spool cannot be used. */
export class SpoolError extends Data.TaggedError("SpoolError")<{ readonly folder: string; readonly problem: string }> {
  override get message(): string {
    return `The folder ${this.folder} of the usage ledger cannot be used: ${this.problem}`
  }
}

/** Settings of a spool. */
export interface SpoolOptions {
  readonly folder: string
  /** Maximum size of all events that wait. */
  readonly maxBytes: number
}

/** Events of one segment. */
export interface Segment {
  readonly events: ReadonlyArray<UsageEvent>
  /** Lines that are not events. */
  readonly damaged: number
  /** Forgets them. */
  readonly done: () => void
}

const maxSegment = 1024 * 1024
const extension = ".jsonl"
const flushing = 1000

// The folders of this process: two gateways in one process have two.
const inUse = new Set<string>()

const isAlive = (pid: number) => {
  if (pid === process.pid || !Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

/** The spool in a folder. */
export class UsageSpool {
  readonly #options: SpoolOptions
  readonly #syncs: NodeJS.Timeout
  // Sizes of the segments, oldest first. The last one is written if `#file` is open.
  readonly #segments = new Map<number, number>()
  #next = 1
  #file: number | undefined
  #current = 0
  #bytes = 0
  #isDirty = false

  constructor(options: SpoolOptions) {
    this.#options = options
    this.#lock()
    for (const name of readdirSync(options.folder).toSorted()) {
      if (!name.endsWith(extension)) continue
      const number = Number(name.slice(0, -extension.length))
      const { size } = statSync(this.#path(number))
      this.#segments.set(number, size)
      this.#bytes += size
      this.#next = Math.max(this.#next, number + 1)
    }
    this.#syncs = setInterval(() => this.#sync(), flushing).unref()
  }

  /** Opens a folder. Throws a `SpoolError` if another process uses it, or it cannot be written. */
  static open(options: SpoolOptions): UsageSpool {
    try {
      return new UsageSpool(options)
    } catch (error) {
      if (error instanceof SpoolError) throw error
      throw new SpoolError({ folder: options.folder, problem: error instanceof Error ? error.message : "it cannot be written" })
    }
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes
  }

  get isFull(): boolean {
    return this.#bytes >= this.#options.maxBytes
  }

  /** Writes an event. Returns whether it is written. */
  append(event: UsageEvent): boolean {
    try {
      const line = Buffer.from(encode(event))
      this.#file ??= this.#begin()
      let written = 0
      while (written < line.length) written += writeSync(this.#file, line, written)
      this.#bytes += line.length
      this.#segments.set(this.#current, (this.#segments.get(this.#current) ?? 0) + line.length)
      this.#isDirty = true
      if ((this.#segments.get(this.#current) ?? 0) >= maxSegment) this.#end()
      return true
    } catch {
      // A line that was cut ends here: the next segment begins with a whole one.
      this.#end()
      return false
    }
  }

  /** The oldest events; `undefined` if there are none. */
  take(): Segment | undefined {
    const [oldest] = this.#segments.keys()
    if (oldest === undefined) return undefined
    if (oldest === this.#current) this.#end()
    const lines = readFileSync(this.#path(oldest), "utf8")
      .split("\n")
      .filter((line) => line !== "")
    const events = lines.flatMap((line) => decode(line) ?? [])
    const done = () => {
      rmSync(this.#path(oldest), { force: true })
      this.#bytes -= this.#segments.get(oldest) ?? 0
      this.#segments.delete(oldest)
    }
    return { events, damaged: lines.length - events.length, done }
  }

  close(): void {
    clearInterval(this.#syncs)
    this.#end()
    inUse.delete(this.#options.folder)
    rmSync(join(this.#options.folder, "lock"), { force: true })
  }

  #path(number: number): string {
    return join(this.#options.folder, `${String(number).padStart(10, "0")}${extension}`)
  }

  #begin(): number {
    this.#current = this.#next++
    const file = openSync(this.#path(this.#current), "a", 0o600)
    this.#segments.set(this.#current, 0)
    return file
  }

  #end(): void {
    const file = this.#file
    this.#file = undefined
    this.#current = 0
    if (file !== undefined) closeSync(file)
  }

  #sync(): void {
    if (!this.#isDirty || this.#file === undefined) return
    this.#isDirty = false
    fdatasync(this.#file, () => undefined)
  }

  #lock(): void {
    const { folder } = this.#options
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const path = join(folder, "lock")
    const owner = existsSync(path) ? Number(readFileSync(path, "utf8")) : 0
    if (inUse.has(folder) || isAlive(owner)) {
      throw new SpoolError({ folder, problem: `the process ${owner || process.pid} uses it. Every gateway needs its own` })
    }
    rmSync(path, { force: true })
    const file = openSync(path, "wx", 0o600)
    writeSync(file, String(process.pid))
    closeSync(file)
    inUse.add(folder)
  }
}
