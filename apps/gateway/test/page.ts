/**
 * The programs of the page of `Chromium.test.ts`. They run in a browser.
 */
import { Paradigm } from "@paradigm-effect/browser"

const messages = [{ role: "user" as const, content: "hi" }]
const request = { model: "alfred", messages }
const add = { type: "function" as const, function: { name: "add", parameters: { type: "object" } } }

const connect = (origin: string, apiKey: string) =>
  Paradigm.withHelpers(Paradigm.connect({ baseUrl: `${origin}/api/v3`, apiKey, allowKeyInBrowser: true, retry: { maxAttempts: 1 } }))

type Client = ReturnType<typeof connect>

const failure = async (work: () => Promise<unknown>) => {
  try {
    await work()
    return "It does not fail"
  } catch (error) {
    if (!Paradigm.isError(error)) throw error
    return { tag: error.reason._tag, message: error.message, partial: error.partial?.choices[0]?.message.content }
  }
}

const textOf = async (client: Client, user: string) => {
  let text = ""
  const chunks = await client.chat.completions.create({ ...request, user, stream: true })
  for await (const { choices } of chunks) text += choices[0]?.delta.content ?? ""
  return text
}

/** What the page does, by name. Each gives a value that the test expects. */
export const programs = {
  completes: async (client: Client) => {
    const { data, request_id } = await client.chat.completions.create(request).withResponse()
    return { text: data.choices[0]?.message.content, model: data.model, hasId: typeof request_id === "string" }
  },
  streams: (client: Client) => textOf(client, "reader"),
  calls: async (client: Client) => {
    const stream = client.chat.completions.stream({ ...request, tools: [add] })
    const { choices } = await stream.finalChatCompletion()
    return choices[0]?.message.tool_calls?.map((call) => ("function" in call ? [call.function?.name, call.function?.arguments] : []))
  },
  lists: async (client: Client) => (await client.models.list()).data.map(({ id }) => id),
  isRefused: (client: Client) => failure(() => client.chat.completions.create({ ...request, user: "too-long" })),
  asksForNone: (client: Client) => failure(() => client.chat.completions.create({ ...request, model: "none" })),
  breaksOff: (client: Client) => failure(() => textOf(client, "breaks")),
  leaves: async (client: Client) => {
    const chunks = await client.chat.completions.create({ ...request, user: "slow", stream: true })
    for await (const _ of chunks) break
    return "left"
  }
}

const run = async (name: keyof typeof programs, origin: string, key: string) => {
  const client = connect(origin, key)
  try {
    return await programs[name](client)
  } finally {
    await client.close()
  }
}

Object.assign(globalThis, { run })
