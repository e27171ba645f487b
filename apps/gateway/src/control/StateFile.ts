/**
 * The file from which a gateway starts when the database does not answer: the last state that it read, with digests of keys and no secret, readable
 * by its owner alone.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { chmod, readFile, rename, writeFile } from "node:fs/promises"
import { type ServedState, StoredState } from "./ServedState.ts"

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(StoredState))

// A state of many keys takes a while to write: the pauses are this multiple of it, but at most so many milliseconds.
const rest = 20
const maxRest = 10_000

export class StateFile {
  readonly #path: string
  #isChanged = false
  #next = 0

  constructor(path: string) {
    this.#path = path
  }

  /** The saved state; `undefined` if there is none. */
  get read(): Effect.Effect<StoredState | undefined> {
    return Effect.tryPromise(() => readFile(this.#path, "utf8")).pipe(
      Effect.flatMap((text) => decode(text)),
      Effect.catchTag("SchemaError", () => Effect.as(Effect.logError(`The saved state ${this.#path} cannot be read`), undefined)),
      Effect.orElseSucceed(() => undefined)
    )
  }

  /** Notes that the state is newer than the file. */
  changed(): void {
    this.#isChanged = true
  }

  /** Writes the state if it changed, but not all the time. */
  flush(state: ServedState): Effect.Effect<void> {
    return Effect.suspend(() => (this.#isChanged && performance.now() >= this.#next ? this.write(state) : Effect.void))
  }

  /** Writes the state. A failure is logged: the file is not needed while the database answers. */
  write(state: ServedState): Effect.Effect<void> {
    const beside = `${this.#path}.${process.pid}.tmp`
    return Effect.tryPromise(async () => {
      const began = performance.now()
      this.#isChanged = false
      await writeFile(beside, JSON.stringify(state.save()), { mode: 0o600 })
      await chmod(beside, 0o600)
      await rename(beside, this.#path)
      this.#next = performance.now() + Math.min(rest * (performance.now() - began), maxRest)
    }).pipe(
      Effect.catch(({ cause }) => {
        const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "failed"
        return Effect.logWarning(
          `The state of the database cannot be saved in ${this.#path} (${code}): the gateway does not start without the database`
        )
      })
    )
  }
}
