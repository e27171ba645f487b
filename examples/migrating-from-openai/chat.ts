// One question, and one more turn with the answer in the conversation.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const messages = [{ role: "user" as const, content: "Say hello" }]
const first = await client.chat.completions.create({ model: "alfred-4.2", messages })
const message = first.choices[0]!.message
console.log(message.content)

const second = await client.chat.completions.create({
  model: "alfred-4.2",
  messages: [...messages, message, { role: "user", content: "Again" }]
})
console.log(second.choices[0]?.message.content, second.usage?.total_tokens)
