// The replies of a model server, as data.

/** What a server sends. `body` is written piece by piece. */
export interface Reply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: ReadonlyArray<string>
  /** After the body: the end of the response, nothing more, or a broken connection. */
  readonly after?: "end" | "hold" | "cut"
}

type Json = Readonly<Record<string, unknown>>

const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }

export const event = (value: unknown): string => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`

const head = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1_700_000_000, model: "m" }

export const choice = (delta: Json, finish_reason: string | null = null) => ({
  ...head,
  choices: [{ index: 0, delta, logprobs: null, finish_reason }]
})

/** A stream as vLLM sends it: a chunk with the role, one chunk per delta, the finish reason, the usage, and the marker of the end. */
export const stream = (deltas: ReadonlyArray<Json>, finish: string | null = "stop", end: ReadonlyArray<unknown> = []): Reply => ({
  body: [
    choice({ role: "assistant", content: "" }),
    ...deltas.map((delta) => choice(delta)),
    ...(finish === null ? [] : [choice({}, finish)]),
    ...(end.length > 0 ? end : [{ ...head, choices: [], usage }, "[DONE]"])
  ].map(event)
})

/** A whole answer. */
export const whole = (message: Json, finish_reason: string = "stop", more: Json = {}): Reply => ({
  headers: { "content-type": "application/json" },
  body: [
    JSON.stringify({
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: null, ...message }, logprobs: null, finish_reason }],
      usage,
      ...more
    })
  ]
})

export const failure = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: [typeof body === "string" ? body : JSON.stringify(body)]
})

/** A fragment of a call. */
export const call = (fields: Json, index: number | undefined = 0): Json => ({ tool_calls: [{ index, type: "function", ...fields }] })
