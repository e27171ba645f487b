/**
 * A run as lines of JSON: `{"type":"run",…}`, a `{"type":"result",…}` each, `{"type":"end",…}`. What was written can be read again, so that
 * several runs become one report.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { End, Head, type Out, Reported, type Reporter, type Run } from "./Reporter.ts"

/**
 * Writes each line as soon as it is known.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ write }: Out): Reporter => ({
  begin: (head) => write(`${JSON.stringify({ type: "run", ...head })}\n`),
  result: (result) => write(`${JSON.stringify({ type: "result", ...result })}\n`),
  end: (end) => write(`${JSON.stringify({ type: "end", ...end })}\n`)
})

const Line = Schema.Union([
  Schema.Struct({ type: Schema.Literal("run"), ...Head.fields }),
  Schema.Struct({ type: Schema.Literal("result"), ...Reported.fields }),
  Schema.Struct({ type: Schema.Literal("end"), ...End.fields })
])

const decodeLine = Schema.decodeUnknownSync(Line)

const lineOf = (text: string, at: number) => {
  try {
    return decodeLine(JSON.parse(text))
  } catch (error) {
    throw new Error(`line ${at + 1}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/**
 * The runs in a text. Throws, naming the line, when it is not what `make` writes, or a run has no end.
 *
 * @category decoding
 * @since 0.1.0
 */
export const read = (text: string): ReadonlyArray<Run> => {
  const runs: Array<Run> = []
  let head: Head | undefined
  let results: Array<Reported> = []
  for (const [at, item] of text.split("\n").entries()) {
    if (item.trim() === "") continue
    const { type, ...line } = lineOf(item, at)
    if (type === "run") {
      if (head !== undefined) throw new Error(`line ${at + 1}: a run begins before the one before has ended`)
      head = line as Head
      results = []
    } else if (head === undefined) throw new Error(`line ${at + 1}: there is no run that it is of`)
    else if (type === "result") results.push(line as Reported)
    else {
      runs.push({ head, results, end: line as End })
      head = undefined
    }
  }
  if (head !== undefined) throw new Error("the last run has no end")
  if (runs.length === 0) throw new Error("there is no run in it")
  return runs
}
