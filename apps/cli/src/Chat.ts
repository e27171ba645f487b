/**
 * The command `chat`: one question, its answer as it comes, and a line of figures.
 */
import * as Paradigm from "@paradigm-effect/node/Paradigm"
import type { ChatCompletion, ChatCompletionRequest } from "@paradigm-effect/core/ChatCompletion"
import { ChatCompletionAccumulator } from "@paradigm-effect/core/ChatCompletionAccumulator"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Option from "effect/Option"
import * as ParadigmConfig from "@paradigm-effect/core/ParadigmConfig"
import type { PlatformError } from "effect/PlatformError"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"

/** Nothing was asked. */
export class NoPrompt extends Data.TaggedError("NoPrompt")<{}> {
  override get message(): string {
    return 'There is nothing to ask. Give the question as words, as in `paradigm chat "Hello"`, or pipe a text in.'
  }
}

// A reader that leaves, as `head` does, wants no more, and no message: that ends the request as Ctrl-C does.
const hasLeft = ({ reason: { cause } }: PlatformError) =>
  typeof cause === "object" && cause !== null && "code" in cause && cause.code === "EPIPE"

const write = (text: string) =>
  Effect.flatMap(Stdio.Stdio, (stdio) => Stream.run(Stream.succeed(text), stdio.stdout({ endOnDone: false }))).pipe(
    Effect.catch((error) => (hasLeft(error) ? Effect.interrupt : Effect.fail(error)))
  )

/** Writes to standard error, where figures do not mix with an answer that is piped on. */
export const note = (text: string) =>
  Effect.flatMap(Stdio.Stdio, (stdio) => Stream.run(Stream.succeed(`${text}\n`), stdio.stderr({ endOnDone: false })))

const dimmed = (text: string) => (text === "" ? "" : `\u001b[2m${text}\u001b[22m`)

const dim = (text: string) =>
  Effect.flatMap(Stdio.Stdio, (stdio) => Effect.map(stdio.stderrIsTerminal, (colours) => (colours ? dimmed(text) : text)))

/** A text from elsewhere without its control characters: on a terminal they could move the cursor or change its title. */
export const printable = (text: string) => text.replaceAll(/[^\P{Cc}\t\n]/gu, "\ufffd")

const figures = (completion: ChatCompletion, firstTokenMillis: number | undefined, totalMillis: number) => {
  const { usage } = completion
  const generating = firstTokenMillis === undefined ? totalMillis : totalMillis - firstTokenMillis
  const rate = usage === undefined || usage === null || generating <= 0 ? undefined : (usage.completion_tokens / generating) * 1000
  return [
    completion.model,
    firstTokenMillis === undefined ? `${Math.round(totalMillis)} ms` : `first token ${Math.round(firstTokenMillis)} ms`,
    rate === undefined ? undefined : `${rate.toFixed(1)} tokens/s`,
    usage === undefined || usage === null ? "no usage" : `${usage.prompt_tokens} + ${usage.completion_tokens} tokens`,
    completion.choices.map((choice) => choice.finish_reason ?? "unfinished").join(", ")
  ]
    .filter((part) => part !== undefined)
    .join(" · ")
}

// What the model thought, of a chunk or of a message. Servers before vLLM 0.12 name it `reasoning_content`.
const reasoningOf = ({
  reasoning,
  reasoning_content
}: {
  readonly reasoning?: string | null | undefined
  readonly reasoning_content?: string | null | undefined
}) => reasoning ?? reasoning_content ?? ""

const answerOf = (completion: ChatCompletion) => completion.choices.map(({ message }) => message.content ?? "").join("\n")

/** How an answer is written. */
export interface Form {
  /** Chunks or the completion as JSON. */
  readonly json: boolean
  /** Whether reasoning is written. */
  readonly reasoning: boolean
}

// The end of reasoning, so that the answer begins on a line of its own.
const gap = "\n\n"

/**
 * Asks, and writes the answer to standard output as its chunks come, then the figures to standard error. Reasoning is dimmed on a terminal. With
 * `json` every chunk is a line of JSON instead.
 */
export const streamToTerminal = Effect.fnUntraced(function* (request: ChatCompletionRequest, { json, reasoning: writesReasoning }: Form) {
  const client = yield* Paradigm.Client
  const stdio = yield* Stdio.Stdio
  const isTerminal = yield* stdio.stdoutIsTerminal
  const startedAt = yield* Clock.currentTimeMillis
  const accumulator = new ChatCompletionAccumulator()
  let firstTokenAt: number | undefined
  let endsWithNewline = true
  let isReasoning = false
  yield* client.streamChatCompletion({ ...request, stream_options: { include_usage: true } }).pipe(
    Stream.runForEach((chunk) => {
      accumulator.add(chunk)
      if (json) return write(`${JSON.stringify(chunk)}\n`)
      const thought = writesReasoning ? chunk.choices.map(({ delta }) => reasoningOf(delta)).join("") : ""
      const answer = chunk.choices.map((choice) => choice.delta.content ?? "").join("")
      if (thought + answer === "") return Effect.void
      const end = answer !== "" && isReasoning ? gap : ""
      isReasoning = answer === "" && thought !== ""
      endsWithNewline = (thought + answer).endsWith("\n")
      const text = isTerminal ? `${dimmed(printable(thought))}${end}${printable(answer)}` : `${thought}${end}${answer}`
      return Effect.andThen(
        Effect.map(Clock.currentTimeMillis, (now) => (firstTokenAt ??= now)),
        write(text)
      )
    }),
    Effect.ensuring(Effect.suspend(() => (endsWithNewline ? Effect.void : Effect.ignore(write("\n")))))
  )
  const completion = accumulator.completion
  if (completion === undefined || json) return
  const now = yield* Clock.currentTimeMillis
  yield* note(
    yield* dim(printable(figures(completion, firstTokenAt === undefined ? undefined : firstTokenAt - startedAt, now - startedAt)))
  )
})

const waitForAnswer = Effect.fnUntraced(function* (request: ChatCompletionRequest, { json, reasoning }: Form) {
  const client = yield* Paradigm.Client
  const stdio = yield* Stdio.Stdio
  const startedAt = yield* Clock.currentTimeMillis
  const completion = yield* client.createChatCompletion(request)
  if (json) return yield* write(`${JSON.stringify(completion)}\n`)
  const answer = answerOf(completion)
  const isTerminal = yield* stdio.stdoutIsTerminal
  const thought = reasoning ? completion.choices.map(({ message }) => reasoningOf(message)).join("\n") : ""
  if (thought !== "") yield* write((isTerminal ? dimmed(printable(thought)) : thought) + gap)
  yield* write(`${isTerminal ? printable(answer) : answer}\n`)
  const now = yield* Clock.currentTimeMillis
  yield* note(yield* dim(printable(figures(completion, undefined, now - startedAt))))
})

const readStdin: Effect.Effect<string, PlatformError, Stdio.Stdio> = Effect.flatMap(Stdio.Stdio, (stdio) =>
  Effect.flatMap(stdio.stdinIsTerminal, (isTerminal) => (isTerminal ? Effect.succeed("") : Stream.mkString(Stream.decodeText(stdio.stdin))))
)

/** The command `chat`. The key and the URL come from `PARADIGM_API_KEY` and `PARADIGM_BASE_URL`. */
export const command = Command.make(
  "chat",
  {
    words: Argument.String("words").pipe(Argument.variadic(), Argument.withDescription("The question; a text piped in is added to it")),
    model: Flag.String("model").pipe(
      Flag.withAlias("m"),
      Flag.withFallbackConfig(Config.String("PARADIGM_MODEL")),
      Flag.withDefault("alfred-4.2"),
      Flag.withDescription("The model that answers (PARADIGM_MODEL; default alfred-4.2)")
    ),
    system: Flag.String("system").pipe(
      Flag.withAlias("s"),
      Flag.optional,
      Flag.withDescription("What the model is told before the question")
    ),
    maxTokens: Flag.Int("max-tokens").pipe(Flag.optional, Flag.withDescription("The most tokens to generate")),
    temperature: Flag.Finite("temperature").pipe(Flag.optional, Flag.withDescription("Sampling temperature, 0 to 2")),
    baseUrl: Flag.String("base-url").pipe(Flag.optional, Flag.withDescription("Where the endpoint is (PARADIGM_BASE_URL)")),
    json: Flag.Boolean("json").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Write JSON: a line for each chunk, or the completion with --no-stream")
    ),
    reasoning: Flag.Boolean("reasoning").pipe(
      Flag.optional,
      Flag.withDescription("Write the model's reasoning (default on a terminal, dimmed; --no-reasoning hides it)")
    ),
    stream: Flag.Boolean("stream").pipe(
      Flag.withDefault(true),
      Flag.withDescription("Write the answer as it comes; --no-stream waits for all of it")
    )
  },
  Effect.fnUntraced(function* ({ baseUrl, json, maxTokens, model, reasoning, stream, system, temperature, words }) {
    const prompt = [words.join(" "), (yield* readStdin).trim()].filter((part) => part !== "").join("\n\n")
    if (prompt === "") return yield* new NoPrompt()
    const request: ChatCompletionRequest = {
      model,
      messages: [
        ...Option.toArray(Option.map(system, (content) => ({ role: "system" as const, content }))),
        { role: "user", content: prompt }
      ],
      max_tokens: Option.getOrUndefined(maxTokens),
      temperature: Option.getOrUndefined(temperature)
    }
    const options = yield* ParadigmConfig.options
    const context = yield* Effect.context<Stdio.Stdio>()
    // A failure is reported before the delay of the next attempt.
    const report = (line: string) => void Effect.runForkWith(context)(note(printable(line)))
    const onAttempt = Paradigm.logTo({ error: constVoid, warn: report, debug: constVoid })
    const client = Paradigm.layer({ ...options, baseUrl: Option.getOrElse(baseUrl, () => options.baseUrl), onAttempt })
    const isTerminal = yield* (yield* Stdio.Stdio).stdoutIsTerminal
    const form = { json, reasoning: Option.getOrElse(reasoning, () => isTerminal) }
    return yield* (stream ? streamToTerminal(request, form) : waitForAnswer(request, form)).pipe(Effect.provide(client))
  })
).pipe(
  Command.withDescription("Ask a model, and read its answer as it comes"),
  Command.withExamples([
    { command: 'paradigm chat "Hello"', description: "Ask, and stream the answer" },
    { command: 'cat notes.md | paradigm chat "Summarise this" --model alfred-4.2', description: "Add a piped text to the question" }
  ])
)
