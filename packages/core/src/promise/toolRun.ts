// Runs the tools that a model calls, until it answers without a call. Loaded at the first run.
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatMessage,
  FunctionToolCall,
  FunctionTool,
  ToolCall,
  ToolMessage
} from "../ChatCompletion.ts"
import { invalid } from "../client/options.ts"
import type { RunToolsOptions } from "../CompletionStream.ts"
import { InvalidRequest, ParadigmError } from "../ParadigmError.ts"
import type { RunToolsRequest } from "../ParadigmPromise.ts"
import type { RunnableTool } from "../StandardSchema.ts"
import { cutOff, mismatch } from "../tools/answer.ts"
import type { CompletionRunner } from "./CompletionRunner.ts"

type Execute = RunnableTool["function"]

/** Creates a completion for the messages. */
export type Ask = (
  messages: ReadonlyArray<ChatMessage>,
  tools: ReadonlyArray<FunctionTool>
) => AsyncGenerator<ChatCompletionChunk, ChatCompletion>

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

const wrong = (field: string, problem: string) =>
  new ParadigmError({ reason: new InvalidRequest({ detail: "a tool cannot be run", fields: { [field]: [problem] } }) })

export class ToolRun {
  readonly #runner: CompletionRunner<never>
  readonly #signal: AbortSignal
  readonly #isForced: boolean
  readonly #tools = new Map<string, Execute>()
  readonly #definitions: ReadonlyArray<FunctionTool>
  readonly #maxCompletions: number
  readonly #tells: boolean

  /** Checks the tools and the options. */
  constructor(runner: CompletionRunner<never>, signal: AbortSignal, request: RunToolsRequest, options: RunToolsOptions) {
    this.#runner = runner
    this.#signal = signal
    const { maxChatCompletions = 10, toolErrors = "throw" } = options
    const { tool_choice: choice, tools } = request
    this.#isForced = typeof choice === "object" && choice !== null
    if (!Array.isArray(tools) || tools.length === 0) throw wrong("tools", "Expected at least one tool")
    if (!Number.isSafeInteger(maxChatCompletions) || maxChatCompletions < 1) {
      throw invalid("maxChatCompletions", "must be an integer of at least 1")
    }
    if (toolErrors !== "throw" && toolErrors !== "tell") throw invalid("toolErrors", 'must be "throw" or "tell"')
    this.#maxCompletions = maxChatCompletions
    this.#tells = toolErrors === "tell"
    this.#definitions = request.tools.map((tool, at) => {
      const execute = tool?.function
      if (typeof execute?.function !== "function") throw wrong(`tools[${at}].function.function`, "Expected a function")
      const name = execute.name ?? execute.function.name
      if (name === "") throw wrong(`tools[${at}].function.name`, "Expected a name")
      if (this.#tools.has(name)) throw wrong(`tools[${at}].function.name`, `Expected another name than ${name}`)
      this.#tools.set(name, execute)
      const { description, parameters, strict } = execute
      const definition = { name, description, parameters: parameters as Readonly<Record<string, unknown>>, strict }
      return { type: "function", function: definition }
    })
  }

  /** Yields the chunks of the completions. A forced call of one function ends the run after its result. */
  async *run(ask: Ask): AsyncGenerator<ChatCompletionChunk, undefined> {
    for (let count = 0; count < this.#maxCompletions; count++) {
      const completion = yield* ask([...this.#runner.messages], this.#definitions)
      const choice = completion.choices[0]
      const calls = choice?.message.tool_calls ?? []
      const cut = calls.length > 0 ? cutOff(choice?.finish_reason) : undefined
      if (cut !== undefined) throw mismatch(completion, cut, "")
      this.#runner.add(completion)
      if (calls.length === 0) return
      const results = Promise.all(calls.map((call) => this.#answer(call)))
      for (const result of await this.#untilAborted(results)) this.#runner.addMessage(result)
      if (this.#isForced) return
    }
  }

  // A tool may ignore the signal.
  #untilAborted<A>(promise: Promise<A>): Promise<A> {
    const signal = this.#signal
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason)
      signal.addEventListener("abort", onAbort)
      promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort))
      if (signal.aborted) onAbort()
    })
  }

  async #answer(call: ToolCall): Promise<ToolMessage> {
    const content = call.type === "function" ? await this.#execute(call) : "This tool cannot be run."
    return { role: "tool", tool_call_id: call.id, content }
  }

  async #execute(toolCall: FunctionToolCall): Promise<string> {
    const { arguments: text, name } = toolCall.function
    const tool = this.#tools.get(name)
    if (tool === undefined) return `There is no tool ${name}. The tools are ${[...this.#tools.keys()].join(", ")}.`
    let args: unknown
    try {
      args = tool.parse === undefined ? text : await tool.parse(text)
    } catch (error) {
      return `The arguments of ${name} are invalid: ${messageOf(error)}`
    }
    const { messages } = this.#runner
    const context = { toolCall, signal: this.#signal, messages, abort: () => this.#runner.abort() }
    try {
      const result = await tool.function(args as never, context)
      return typeof result === "string" ? result : (JSON.stringify(result) ?? "null")
    } catch (error) {
      this.#signal.throwIfAborted()
      if (!this.#tells) throw error
      return `The tool ${name} failed: ${messageOf(error)}`
    }
  }
}
