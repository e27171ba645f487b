// The chunks of a stream as an async iterable.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const stream = await client.chat.completions.create({
  model: "alfred-4.2",
  messages: [{ role: "user", content: "Say hello" }],
  stream: true
})
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "")
process.stdout.write("\n")
