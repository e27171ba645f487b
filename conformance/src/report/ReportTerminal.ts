/**
 * A run for people at a terminal: a line that shows how far it is, and at the end what failed, what was wanted and found, and the trace.
 *
 * @since 0.1.0
 */
import { counts, type Head, type Out, type Reported, type Reporter, tally } from "./Reporter.ts"

const colored = (out: Out) => {
  const color = (code: number) => (text: string) => (out.colors === true ? `\u001b[${code}m${text}\u001b[0m` : text)
  return { red: color(31), green: color(32), yellow: color(33), dim: color(2), bold: color(1) }
}

// What a subject or a server says must not move the cursor.
const printable = (text: string) =>
  text.replaceAll(/(?![\t\n])\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`)

const indented = (text: string, by: string) => printable(text).replaceAll("\n", `\n${by}`)

const bar = (done: number, planned: number, width: number) => {
  const filled = planned === 0 ? width : Math.round((done / planned) * width)
  return `[${"=".repeat(filled)}${" ".repeat(width - filled)}]`
}

/**
 * Writes to a terminal, or plain lines where there is none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (out: Out): Reporter => {
  const { bold, dim, green, red, yellow } = colored(out)
  const results: Array<Reported> = []
  let head: Head | undefined
  let drawnAt = Number.NEGATIVE_INFINITY

  const draw = (id: string) => {
    const { columns } = out
    if (columns === undefined || head === undefined) return
    if (performance.now() - drawnAt < 40 && results.length < head.planned) return
    drawnAt = performance.now()
    const failed = results.filter(({ verdict }) => verdict === "fail" || verdict === "stale").length
    const line = `${bar(results.length, head.planned, 24)} ${results.length}/${head.planned}${failed === 0 ? "" : `, ${failed} failed`}  ${id}`
    out.write(`\r\u001b[K${line.slice(0, Math.max(20, columns - 1))}`)
  }

  const mark = (result: Reported) => {
    const soft = result.verdict === "fail" && !counts(result, head?.strict === true)
    if (soft) return yellow("fail (SHOULD)")
    return result.verdict === "pass"
      ? green("pass")
      : result.verdict === "fail" || result.verdict === "stale"
        ? red(result.verdict)
        : dim(result.verdict)
  }

  /** Failures, each with those that failed with the same words: what is wrong with all need not be said for each. */
  const alike = () => {
    const groups = new Map<string, Array<Reported>>()
    for (const result of results) {
      if (result.verdict !== "fail" && result.verdict !== "stale") continue
      const words = result.trace.length === 0 ? result.problems.join("\n") : result.id
      groups.set(words, [...(groups.get(words) ?? []), result])
    }
    return [...groups.values()]
  }

  const detail = ([result, ...others]: ReadonlyArray<Reported>) => {
    if (result === undefined) return
    out.write(`\n${mark(result)} ${bold(result.id)}: ${result.rule} (${result.level}: ${result.source.join(", ")})\n`)
    for (const problem of result.problems) out.write(`  ${indented(problem, "  ")}\n`)
    for (const line of result.trace) out.write(`    ${dim(indented(line, "    "))}\n`)
    if (others.length > 0) out.write(`  and so ${others.length} more, from ${others[0]?.id} to ${others.at(-1)?.id}\n`)
  }

  return {
    begin: (of) => {
      head = of
      out.write(`${of.planned} ${of.side} cases for ${printable(of.subject)} (${of.kind}), hash ${of.hash}\n`)
      draw("")
    },
    result: (result) => {
      results.push(result)
      if (out.columns === undefined) out.write(`${mark(result)} ${result.id} (${Math.round(result.durationMs)} ms)\n`)
      else draw(result.id)
    },
    end: (end) => {
      if (out.columns !== undefined) out.write("\r\u001b[K")
      const strict = head?.strict === true
      for (const group of alike()) detail(group)
      const soft = results.filter((result) => result.verdict === "fail" && !counts(result, strict)).length
      out.write(`\n${end.ok ? green("passed") : red("failed")}: ${tally(results)}, ${(end.durationMs / 1000).toFixed(1)} s\n`)
      if (soft > 0) out.write(`${soft} failed that SHOULD hold; with --strict, they count\n`)
      for (const problem of end.problems) out.write(`${red("problem")}: ${printable(problem)}\n`)
    }
  }
}
