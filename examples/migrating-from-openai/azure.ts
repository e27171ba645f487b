// A URL with a path and a query, as Azure's deployments have, and a key in a header of its own.
import { Paradigm } from "@paradigm-effect/node"

const origin = process.env.PARADIGM_BASE_URL ?? ""
const client = Paradigm.connect({
  baseUrl: `${origin}/openai/deployments/alfred?api-version=2026-01-01`,
  headers: { "api-key": process.env.PARADIGM_API_KEY }
})

const completion = await client.chat.completions.create({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
console.log(completion.choices[0]?.message.content)
