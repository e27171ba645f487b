// A stream that is aborted, and one whose loop is left.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const controller = new AbortController()
const request = { model: "alfred-4.2", messages: [{ role: "user" as const, content: "Say hello" }] }
const stream = await client.chat.completions.create({ ...request, stream: true }, { signal: controller.signal })
for await (const chunk of stream) {
  console.log(chunk.object)
  break
}

controller.abort()
await client.chat.completions.create(request, { signal: controller.signal }).catch(() => console.log("aborted"))
