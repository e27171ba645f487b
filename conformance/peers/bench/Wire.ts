/**
 * Response bodies of the benchmark: chunks as vLLM writes them, with several kinds of text.
 */

/**
 * Text of the chunks. `usage` has plain text and running token counts in every chunk, so that two chunks never differ in their text alone.
 */
export const texts = {
  plain: ["hello ", "world ", "the quick ", "brown fox", " jumps over", " lazy dog", " and", " then"],
  escaped: ["hello ", "world ", 'the "quick" ', "brown fox", "\n\n", " lazy dog", "\t- item", " C:\\path"],
  mixed: ["hello ", "wörld ", "日本語", "brown 🦊", " jumps", " lazy dög", ' "quoted" ', "\n\n"],
  usage: ["hello ", "world ", "the quick ", "brown fox", " jumps over", " lazy dog", " and", " then"]
} as const

export type Text = keyof typeof texts

/** Size of a write: 16 KB, or one event. */
export const modes = ["batched", "single"] as const

export type Mode = (typeof modes)[number]

const pieceSize = 16 * 1024

const envelope = {
  id: "chatcmpl-6f1d2c3b4a5968778695a4b3c2d1e0f9",
  object: "chat.completion.chunk",
  created: 1_795_423_348,
  model: "alfred-4.2"
}

const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`

const choice = (delta: unknown, finish_reason: string | null) => [{ index: 0, delta, logprobs: null, finish_reason, token_ids: null }]

/** The events of a stream: one for the role, one for each token, one for the finish reason, and `[DONE]`. */
const events = function* (text: Text, tokens: number): Generator<string> {
  const words = texts[text]
  const usage = (completion_tokens: number) =>
    text === "usage" ? { usage: { prompt_tokens: 12, total_tokens: 12 + completion_tokens, completion_tokens } } : {}
  yield event({ ...envelope, choices: choice({ role: "assistant", content: "" }, null), ...usage(0) })
  for (let i = 0; i < tokens; i++) {
    yield event({ ...envelope, choices: choice({ content: words[i % words.length] }, null), ...usage(i + 1) })
  }
  yield event({ ...envelope, choices: choice({}, "stop"), ...usage(tokens) })
  yield "data: [DONE]\n\n"
}

/** The writes of a stream, in order. */
export const pieces = (mode: Mode, text: Text, tokens: number): Array<Uint8Array> => {
  const encoder = new TextEncoder()
  const all: Array<Uint8Array> = []
  let piece = ""
  for (const next of events(text, tokens)) {
    piece += next
    if (mode === "batched" && piece.length < pieceSize) continue
    all.push(encoder.encode(piece))
    piece = ""
  }
  if (piece !== "") all.push(encoder.encode(piece))
  return all
}

/** What a subject must count in a stream: the non-empty pieces of content, and their total length. */
export const expected = (text: Text, tokens: number): { readonly pieces: number; readonly length: number } => {
  let length = 0
  for (let i = 0; i < tokens; i++) length += (texts[text][i % texts[text].length] ?? "").length
  return { pieces: tokens, length }
}
