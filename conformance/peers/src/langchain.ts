/**
 * `@langchain/openai` as a subject: `ChatOpenAICompletions`, by `invoke` and `stream`, with the raw responses that it keeps when it is asked.
 *
 * A case's messages are translated to LangChain's, everything else of the request goes into `modelKwargs`. What it delivers are the raw responses,
 * since what it makes of them has another shape. Nothing is retried unless a case asks for it.
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
import * as Subject from "@paradigm-effect/conformance/Subject"
import { limitOf } from "./openai.ts"
import { toError } from "./printed.ts"

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

async function* chunksOf(messages: AsyncIterable<BaseMessageChunk>) {
  for await (const message of messages) yield chunkOf(message)
}

export const langchain = Subject.make({
  name: "@langchain/openai",
  capabilities: ["abort", "deflate", "gzip", "retry", "timeouts", "utf16"],
  toError,
  open: ({ apiKey, baseUrl, retry, timeouts }) => {
    const open = ({ messages, model, ...modelKwargs }: Readonly<Record<string, unknown>>) => {
      const client = new ChatOpenAICompletions({
        model: model as string,
        apiKey,
        modelKwargs,
        maxRetries: (retry?.attempts ?? 1) - 1,
        __includeRawResponse: true,
        configuration: { baseURL: baseUrl, logLevel: "off" },
        ...limitOf(timeouts)
      })
      return { client, said: (messages as ReadonlyArray<Message>).map(toMessage) }
    }
    return {
      json: async (request, { signal }) => {
        const { client, said } = open(request)
        return rawOf(await client.invoke(said, { signal }))
      },
      stream: async (request, { signal }) => {
        const { client, said } = open(request)
        return chunksOf(await client.stream(said, { signal }))
      }
    }
  }
})
