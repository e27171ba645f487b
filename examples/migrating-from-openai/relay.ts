// A stream for another program, as lines of JSON.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const stream = client.chat.completions.stream({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
let text = ""
for (const line of (await new Response(stream.toReadableStream()).text()).trim().split("\n")) {
  text += JSON.parse(line).choices[0]?.delta.content ?? ""
}
console.log(text)
