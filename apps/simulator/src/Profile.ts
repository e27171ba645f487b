/**
 * What one server puts on the wire: names, order of keys, nulls, kinds of chunks, shapes of errors.
 *
 * @since 0.1.0
 */
import type { OwnRefusal, Refusal } from "./ErrorReply.ts"

/**
 * The knobs of one server. Recorded exchanges decide each of them.
 *
 * Lists of keys are texts with blanks between the keys. A key without a value is `null`; one that ends in `?` is then left out, and so is
 * an empty list.
 *
 * @category models
 * @since 0.1.0
 */
export interface Profile {
  readonly name: string
  /** What `GET /version` says. */
  readonly version: string
  readonly fingerprint: string | null
  /** The form of ids: of completions, and of calls. */
  readonly ids: { readonly completion: IdForm; readonly call: IdForm }
  readonly keys: Keys
  /** The name of reasoning in answers. */
  readonly reasoningField: "reasoning" | "reasoning_content"
  /** How reasoning is told from content: not at all, by `<think>`, or all is reasoning until `</think>`. */
  readonly reasoning: "none" | "tagged" | "first"
  /** `include_reasoning: false` leaves reasoning out; deltas of content then have it as `null`. */
  readonly canExcludeReasoning: boolean
  readonly marksExcluded: boolean
  /** A `<tool_call>` ends the reasoning. */
  readonly callsEndReasoning: boolean
  readonly calls: Calls
  readonly stream: StreamStyle
  /** A message without content has empty text, not `null`. */
  readonly blankMessage: boolean
  /** A blank content beside calls, if reasoning came first, is `null`. */
  readonly dropsBlankContent: boolean
  /** Token ids on request; texts of tokens from `/tokenize`; the load in a header. */
  readonly tokenIds: boolean
  readonly tokenTexts: boolean
  /** Usage tells of cached tokens. */
  readonly reportsCached: boolean
  /** Any model's name is accepted. */
  readonly acceptsAnyModel: boolean
  /** The most choices; `n` over it is ignored. */
  readonly maxChoices: number
  readonly reportsLoad: boolean
  readonly logprobs: LogprobStyle
  /** Constraints that are obeyed. */
  readonly structuredOutputs: boolean
  readonly guided: boolean
  readonly errors: Errors
  /** Headers of every answer but 401. */
  readonly headers: Readonly<Record<string, string>>
}

/** @since 0.1.0 */
export interface IdForm {
  readonly prefix: string
  readonly digits: number
  /** Defaults to hexadecimal. */
  readonly alphabet?: "hexadecimal" | "decimal" | "letters" | "uuid"
}

/**
 * Keys of the objects on the wire, in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface Keys {
  readonly completion: string
  readonly choice: string
  readonly message: string
  /** A message with calls. */
  readonly callMessage: string
  readonly usage: string
  /** The first chunk of each choice, the others, and the one that has only the usage. */
  readonly roleChunk: string
  readonly chunk: string
  /** A chunk with pieces of calls; and one with reasoning, if it is another than `chunk`. */
  readonly callChunk: string
  readonly reasoningChunk?: string
  readonly finishChunk: string
  readonly usageChunk: string
  readonly roleChoice: string
  readonly chunkChoice: string
  readonly finishChoice: string
  /** Usage in chunks with choices (`continuous_usage_stats`), and in the last one. */
  readonly runningUsage: string
  readonly streamUsage: string
  /** A delta with text: without tools, and with tools that may be called; and one with pieces of calls. */
  readonly textDelta: string
  readonly toolTextDelta: string
  readonly callDelta: string
  /** The delta of the first chunk, and of a finish without text. */
  readonly roleDelta: string
  readonly finishDelta: string
  /** A call in one piece, and in a whole answer. */
  readonly call: string
  readonly wholeCall: string
  readonly function: string
}

/** @since 0.1.0 */
export interface Calls {
  /** Streams look for calls only after the end of reasoning, if reasoning is parsed. */
  readonly followReasoning: boolean
  /** Arguments come from their first value on, with the white space that follows them. */
  readonly isLate: boolean
  /** White space around calls is dropped from the content. */
  readonly trims: boolean
  /** Required and named calls are written as all others, else as a JSON list and as bare arguments. */
  readonly forced: "native" | "json"
  /** There is a parser of calls. */
  readonly isParsed: boolean
  /** Arguments as the model wrote them, or written anew: without blanks, or with blanks and in ASCII. */
  readonly arguments: "raw" | "compact" | "ascii"
  /**
   * Name and arguments apart, together in the first piece, all keys in each piece, the type in each piece, or a whole call in one piece.
   */
  readonly pieces: "apart" | "together" | "repeated" | "typed" | "whole"
  /** How the pieces of a forced call look, if they are not written as others: name and arguments together. */
  readonly forcedPieces: "anonymous" | "together"
  /** The finish reason of an answer that ended by itself. */
  readonly finish: {
    readonly named: "stop" | "tool_calls"
    readonly required: "stop" | "tool_calls"
    readonly streamedRequired: "stop" | "tool_calls"
    readonly streamedNamed: "stop" | "tool_calls"
  }
  /** The finish reason of a stream that is cut inside a call: one that the model chose, and a named one. */
  readonly cut: "length" | "tool_calls"
  readonly namedCut: "length" | "tool_calls"
  /** A JSON list of calls that is cut: refused when whole, or no calls. */
  readonly cutList: "refused" | "none"
}

/** @since 0.1.0 */
export interface StreamStyle {
  /** The role in a chunk of its own, with the first text, or with each. */
  readonly role: "own" | "first" | "every"
  readonly roleContent: "" | null
  /** Content that is not there is empty text, not `null`. */
  readonly blankContent: boolean
  /** The fingerprint on the last chunk, or on each. */
  readonly fingerprint: "last" | "every"
  /** The finish has a chunk of its own, without the last text. */
  readonly finishAlone: boolean
  /** Usage if it is asked for, in a chunk of its own, or always in the finish chunk. */
  readonly usage: "asked" | "finish"
  readonly usageObject: "chat.completion.chunk" | "chat.completion"
  /** The chunk that has only the usage has a choice, without a delta. */
  readonly usageHasChoice: boolean
  /** Only the first choice has a role and a finish. */
  readonly endsFirstOnly: boolean
  /** `[DONE]` ends the stream; and a stream that an error ended. */
  readonly done: boolean
  readonly doneAfterError: boolean
  readonly json: "compact" | "spaced"
  /** A token whose text is held back: a piece with empty text, or nothing. */
  readonly held: "text" | "nothing"
  /** Tokens without text have a chunk with an empty delta if their logprobs or ids were asked for. */
  readonly emptyDeltas: boolean
  /** The delta of a finish without text: `{}`, or empty text. */
  readonly finish: "empty" | "text"
  /** With a parser of reasoning or calls. */
  readonly parsedFinish: "empty" | "text"
  /** Cut inside a call: `{}`, or no finish chunk at all. */
  readonly cutFinish: "empty" | "lost"
  /** The last token is not counted in the usage of a stream with several choices. */
  readonly undercounts: boolean
}

/** @since 0.1.0 */
export interface LogprobStyle {
  /** Tokens decoded, or the raw pieces of the vocabulary. */
  readonly tokens: "decoded" | "vocabulary"
  /** The end token: its name, or nothing. */
  readonly end: "name" | "nothing"
  /** A token inside a character: U+FFFD, or nothing. */
  readonly half: "replacement" | "nothing"
}

/**
 * The shape and the words of errors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Errors {
  /** With `object: "error"`, nested in `error`, and as other servers have it. */
  readonly shape: "flat" | "nested" | "ollama" | "llamacpp" | "litellm" | "text" | "detail"
  /** The type of an error in the form of the body. */
  readonly bodyType: "BadRequestError" | "Bad Request"
  /** Problems of the form: a Python list, lines with a trace, lines. */
  readonly problems: "list" | "trace" | "lines"
  /** Rules over the body are told as problems of the form, or in a sentence. */
  readonly checks: "problem" | "sentence"
  /** Errors name their parameter. */
  readonly params: boolean
  /** Content types other than JSON. */
  readonly media: 400 | 415
  /** What a crash of the handler looks like. */
  readonly crash: "text" | "empty" | "message"
  /** A body that is no object, and a `json_schema` that is missing. */
  readonly missingBody: "form" | "crash" | "text"
  readonly missingSchema: "check" | "crash"
  /** Temperatures over 2, more than four stops and empty `tools` are refused. */
  readonly isStrict: boolean
  /** Messages are also tried as messages of the harmony format. */
  readonly knowsHarmony: boolean
  readonly words: Words
}

/**
 * Sentences that differ between servers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Words {
  readonly noMessages: string
  /** Version of the validator, for the addresses in its words. */
  readonly pydantic: string
  /** The end of what is said about messages. */
  readonly end: string
  readonly unknownModel: (model: string, models: ReadonlyArray<string>) => string
  readonly notMultimodal: (model: string) => string
  readonly biasKey: (keys: ReadonlyArray<string>) => Refusal
  readonly biasIds: (ids: ReadonlyArray<number>, vocabularySize: number) => Refusal
  readonly manyLogprobs: (asked: number, most: number) => Refusal
  readonly badSchemaType: (type: string) => OwnRefusal
  readonly length: (sizes: {
    readonly tokens: number
    readonly characters: () => number
    readonly asked: number | undefined
    readonly maxModelLen: number
  }) => Refusal | undefined
}
