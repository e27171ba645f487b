/**
 * Compares what a server case expects with what the server answered, and its upstream saw.
 *
 * @since 0.1.0
 */
import * as Judge from "../client/Judge.ts"
import { match, type Pattern } from "../case/Pattern.ts"
import type { RawAnswer } from "./RawExchange.ts"
import type { Report } from "../fault/Report.ts"
import { type Answer, finish, text, usage } from "./ServerAnswer.ts"
import type { ServerCase, ServerExpectation } from "./ServerCase.ts"
import * as ServerFact from "./ServerFact.ts"

/**
 * What came of one exchange: its answers, or why there are none. `running` is how many answers were being generated beside those before:
 * while it was, and at last. Times are milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exchanged {
  readonly expect: ServerExpectation
  readonly answers: ReadonlyArray<Answer>
  readonly raw?: RawAnswer | undefined
  readonly problems: ReadonlyArray<string>
  readonly running?: { readonly during: number; readonly after: number } | undefined
  readonly upstream?: { readonly report: Report; readonly closedMs: number } | undefined
}

/**
 * What is the same for all exchanges: the secrets that no answer may hold, with the name each is shown by, and the profile's error.
 *
 * @category models
 * @since 0.1.0
 */
export interface Context {
  readonly secrets: ReadonlyArray<readonly [secret: string, name: string]>
  readonly refusal: Pattern
}

const insides = /(\n|\\n)\s+at .+:\d+:\d+|Traceback \(most recent call last\)|node_modules\/|site-packages\//

const withStatus = (pattern: Pattern, status: number): Pattern =>
  JSON.parse(JSON.stringify(pattern, (_, item: unknown) => (item === "{{status}}" ? status : item))) as Pattern

const secretsIn = (where: string, found: string, { secrets }: Context) =>
  secrets.filter(([secret]) => found.includes(secret)).map(([, name]) => `secrets: ${name} is in ${where}`)

const always = (answer: Answer, { whole }: ServerExpectation, context: Context): ReadonlyArray<string> => {
  const found: Array<string> = []
  if (!answer.isUtf8) found.push("utf8: the body is not valid UTF-8")
  if (answer.end !== "left" && (answer.end === "whole") !== (whole ?? true)) {
    found.push(`end: expected the answer to end ${(whole ?? true) ? "as its framing says" : "early"}, it did not`)
  }
  const failed = answer.status >= 400 || answer.events.some(({ json }) => typeof json === "object" && json !== null && "error" in json)
  if (failed && insides.test(answer.text)) found.push("body: tells of the server's inside")
  found.push(...secretsIn("the body", answer.text, context), ...secretsIn("the head", JSON.stringify(answer.headers), context))
  return found
}

const one = (answer: Answer, expect: ServerExpectation, context: Context): ReadonlyArray<string> => {
  const found = [...always(answer, expect, context)]
  if (expect.status !== undefined) {
    const wrong = match("status", expect.status, answer.status)
    // What an unexpected answer says helps more than what it does not.
    if (wrong.length > 0) return [...wrong, ...found, `body: ${answer.text.slice(0, 300)}`]
  }
  if (expect.headers !== undefined) found.push(...match("headers", expect.headers, answer.headers))
  if (expect.refusal === true) {
    found.push(...match("headers.content-type", { $matches: "^application/json\\s*(;|$)" }, answer.headers["content-type"]))
    found.push(...match("body", withStatus(context.refusal, answer.status), answer.json))
  }
  if (expect.json !== undefined) found.push(...match("body", expect.json, answer.json))
  if (expect.text !== undefined) found.push(...match("text", [...expect.text], text(answer)))
  if (expect.finish !== undefined) found.push(...match("finish", [...expect.finish], finish(answer)))
  if (expect.events !== undefined) {
    const events = answer.events.filter(({ data }) => data !== "").map(({ data, json }) => json ?? data)
    found.push(...match("events", [...expect.events], events))
  }
  for (const fact of expect.facts ?? []) found.push(...ServerFact.check(fact, answer))
  return found
}

const raw = (answer: RawAnswer, expect: ServerExpectation, context: Context): ReadonlyArray<string> => [
  ...(expect.statuses === undefined ? [] : match("statuses", [...expect.statuses], answer.statuses)),
  ...secretsIn("what came back", answer.text, context)
]

const upstream = (
  { closedMs, report }: NonNullable<Exchanged["upstream"]>,
  wanted: NonNullable<ServerExpectation["upstream"]>
): ReadonlyArray<string> => {
  const found: Array<string> = []
  const { attempts } = report
  if (wanted.attempts !== undefined && attempts.length !== wanted.attempts) {
    found.push(`upstream: expected ${wanted.attempts} requests, got ${attempts.length}`)
  }
  for (const [i, request] of (wanted.wire ?? []).entries()) {
    found.push(...Judge.request(i, request, report).map((problem) => `upstream: ${problem}`))
  }
  if (wanted.closedWithinMs !== undefined) {
    for (const { closed } of attempts) {
      if (closed?.by !== "client")
        found.push(`upstream: expected the gateway to close the connection, ${closed === undefined ? "it is open" : "it did not"}`)
    }
    if (closedMs > wanted.closedWithinMs && found.length === 0) {
      found.push(`upstream: expected the connection to be closed within ${wanted.closedWithinMs} ms, took ${Math.round(closedMs)} ms`)
    }
  }
  return found
}

const running = ({ after, during }: NonNullable<Exchanged["running"]>, { atMost, withinMs }: NonNullable<ServerExpectation["running"]>) => {
  if (during < 1) return ["running: nothing was being generated when the client left, so that this says nothing"]
  return after > atMost ? [`running: expected at most ${atMost} answers in the making after ${withinMs} ms, got ${after}`] : []
}

const exchange = (exchanged: Exchanged, context: Context): ReadonlyArray<string> => {
  const { answers, expect } = exchanged
  return [
    ...exchanged.problems,
    ...answers.flatMap((answer, i) =>
      one(answer, expect, context).map((problem) => (answers.length > 1 ? `answer ${i}: ${problem}` : problem))
    ),
    ...(exchanged.raw === undefined ? [] : raw(exchanged.raw, expect, context)),
    ...(exchanged.upstream === undefined ? [] : upstream(exchanged.upstream, expect.upstream ?? {})),
    // The caller's key is for the gateway alone.
    ...(exchanged.upstream === undefined
      ? []
      : secretsIn(
          "what the upstream was sent",
          JSON.stringify(exchanged.upstream.report.attempts.map(({ headers, path }) => [headers, path])),
          {
            ...context,
            secrets: context.secrets.filter(([, name]) => name === "{{key}}")
          }
        )),
    ...(exchanged.running === undefined || expect.running === undefined ? [] : running(exchanged.running, expect.running))
  ]
}

const requestIdHeaders = new Set(["x-request-id", "date", "content-length", "keep-alive", "connection"])

const aspects = {
  text,
  finish,
  usage: (answer: Answer) => {
    const { completion_tokens, prompt_tokens, total_tokens } = usage(answer) ?? {}
    return { prompt_tokens, completion_tokens, total_tokens }
  },
  refusal: ({ headers, json, status }: Answer, model: string) => {
    const id = headers["x-request-id"]
    const hide = (item: unknown) => {
      if (typeof item !== "string") return item
      const unnamed = model === "" ? item : item.replaceAll(model, "{{model}}")
      return id === undefined ? unnamed : unnamed.replaceAll(id, "{{id}}")
    }
    const kept = Object.entries(headers).filter(([name]) => !requestIdHeaders.has(name))
    return {
      status,
      headers: Object.fromEntries(kept),
      body: JSON.parse(JSON.stringify(json ?? null, (_, item: unknown) => hide(item))) as unknown
    }
  },
  "request-id": ({ headers }: Answer) => headers["x-request-id"]
} as const

const modelOf = (exchange: ServerCase["exchanges"][number] | undefined) => {
  const body = exchange !== undefined && "request" in exchange ? exchange.request.body : undefined
  const json = body !== undefined && "json" in body ? body.json : undefined
  return typeof json === "object" && json !== null && "model" in json && typeof json["model"] === "string" ? json["model"] : ""
}

/**
 * What is wrong, one sentence each; none when the case is passed. Whatever the case expects, no answer may hold a key, tell of the server's inside,
 * be no UTF-8, or end otherwise than its framing says.
 *
 * @category judging
 * @since 0.1.0
 */
export const judge = (item: ServerCase, exchanged: ReadonlyArray<Exchanged>, context: Context): ReadonlyArray<string> => {
  const found = exchanged.flatMap((each, i) =>
    exchange(each, context).map((problem) => (item.exchanges.length > 1 ? `exchange ${i}: ${problem}` : problem))
  )
  if (found.length > 0) return found
  return (item.compare ?? []).flatMap(({ differ, of, what }) => {
    const [a, b] = of.map((i) => {
      const answer = exchanged[i]?.answers[0]
      return answer === undefined ? undefined : aspects[what](answer, modelOf(item.exchanges[i]))
    })
    const same = JSON.stringify(a) === JSON.stringify(b)
    if (same !== (differ === true)) return []
    return [
      `${what} of exchanges ${of.join(" and ")}: expected ${differ === true ? "to differ" : "the same"}, got ${JSON.stringify(a)} and ${JSON.stringify(b)}`
    ]
  })
}
