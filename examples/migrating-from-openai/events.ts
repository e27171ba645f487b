// A stream as events and promises.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const stream = client.chat.completions.stream({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
stream.on("content", (delta, snapshot) => console.log("content", delta, snapshot))
stream.on("message", (message) => console.log("message", message.role))
stream.on("finalContent", (content) => console.log("finalContent", content))
stream.on("end", () => console.log("end"))

for await (const chunk of stream) console.log("chunk", chunk.choices[0]?.finish_reason ?? null)
console.log((await stream.finalChatCompletion()).choices[0]?.finish_reason)
console.log(await stream.finalContent(), (await stream.finalMessage()).content)
