// A response that matches a schema.
import { Paradigm } from "@paradigm-effect/node"
import { z } from "zod"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const City = z.object({ name: z.string(), population: z.number() })

const completion = await client.chat.completions.parse({
  model: "alfred-4.2",
  messages: [{ role: "user", content: "The largest city of France?" }],
  response_format: Paradigm.responseFormat(City, "city")
})
console.log(completion.choices[0]?.message.parsed?.name)

const weather = Paradigm.tool({
  name: "get_weather",
  parameters: z.object({ city: z.string() }),
  function: ({ city }) => ({ city, celsius: 21 })
})
const runner = client.chat.completions.runTools({
  model: "alfred-4.2",
  messages: [{ role: "user", content: "How warm is it?" }],
  tools: [weather]
})
console.log(await runner.finalContent())
