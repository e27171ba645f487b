/**
 * `@langchain/openai` as a subject: `ChatOpenAICompletions`, by `invoke` and `stream`, with the raw responses that it keeps when it is asked.
 *
 * A case's messages are translated to LangChain's, everything else of the request goes into `modelKwargs`. What it delivers are the raw responses,
 * since what it makes of them has another shape. Unless a case asks for retries there are none.
 */
import {
  AIMessage,
  type BaseMessage,
  type BaseMessageChunk,
  ChatMessage,
  HumanMessage,
  SystemMessage,
  ToolMessage
} from "@langchain/core/messages"
import { ChatOpenAICompletions } from "@langchain/openai"
import type { Outcome, Subject } from "@paradigm-effect/conformance/Subject"
import { toSubjectError } from "./failure.ts"

interface Message {
  readonly role: string
  readonly content: string
  readonly name?: string
  readonly tool_call_id?: string
  readonly tool_calls?: ReadonlyArray<{ readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }>
}

const toMessage = (message: Message): BaseMessage => {
  const { content, name, role, tool_call_id = "", tool_calls = [] } = message
  const fields = { content, ...(name === undefined ? {} : { name }) }
  if (role === "user") return new HumanMessage(fields)
  if (role === "system") return new SystemMessage(fields)
  if (role === "tool") return new ToolMessage({ ...fields, tool_call_id })
  if (role !== "assistant") return new ChatMessage({ ...fields, role })
  const calls = tool_calls.map((call) => ({ id: call.id, name: call.function.name, args: JSON.parse(call.function.arguments) as object }))
  return new AIMessage({ ...fields, content: content ?? "", tool_calls: calls })
}

const rawOf = ({ additional_kwargs: kept }: BaseMessage | BaseMessageChunk) => kept["__raw_response"]

// It keeps no raw response of a chunk without a role, and none of the usage: they are told by what it delivers.
const chunkOf = (message: BaseMessageChunk) => {
  const raw = rawOf(message)
  if (raw !== undefined) return raw
  if ("usage_metadata" in message && message.usage_metadata !== undefined) {
    const { input_tokens, output_tokens, total_tokens } = message.usage_metadata as Readonly<Record<string, number>>
    return { choices: [], usage: { prompt_tokens: input_tokens, completion_tokens: output_tokens, total_tokens } }
  }
  return { choices: [{ index: 0, delta: { content: message.text } }] }
}

export const langchain: Subject = {
  name: "@langchain/openai",
  runtime: "node",
  capabilities: ["abort", "gzip", "retry", "timeouts", "utf16"],
  open: ({ apiKey, baseUrl, retry, timeouts }) => ({
    close: () => Promise.resolve(),
    call: async (operation, call): Promise<Outcome> => {
      const chunks: Array<unknown> = []
      const limit = timeouts?.total ?? timeouts?.headers ?? timeouts?.connect
      try {
        const { messages, model, ...modelKwargs } = operation.request
        const client = new ChatOpenAICompletions({
          model: model as string,
          apiKey,
          modelKwargs,
          maxRetries: (retry?.attempts ?? 1) - 1,
          __includeRawResponse: true,
          configuration: { baseURL: baseUrl, logLevel: "off" },
          ...(limit === undefined ? {} : { timeout: limit })
        })
        const said = (messages as unknown as ReadonlyArray<Message>).map(toMessage)
        const options = { signal: call.signal }
        if (operation.kind !== "stream") {
          return { outcome: "completion", chunks, completion: rawOf(await client.invoke(said, options)) }
        }
        for await (const chunk of await client.stream(said, options)) {
          const told = chunkOf(chunk)
          chunks.push(told)
          await call.onChunk(told)
          if (chunks.length === call.take) break
        }
        return { outcome: call.signal.aborted ? "aborted" : "chunks", chunks }
      } catch (error) {
        return call.signal.aborted ? { outcome: "aborted", chunks } : { outcome: "error", chunks, error: toSubjectError(error) }
      }
    }
  })
}
