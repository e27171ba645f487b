// Errors, retries, timeouts and logging. The names differ from openai's: the guide has the table.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const request = { model: "alfred-4.2", messages: [{ role: "user" as const, content: "Say hello" }] }
const patient = client.withOptions({ retry: { maxAttempts: 5 }, timeouts: { total: "2 minutes" }, onAttempt: Paradigm.logTo(console) })
console.log((await patient.chat.completions.create(request)).choices[0]?.message.content)

try {
  await client.models.retrieve("unknown")
} catch (error) {
  if (!Paradigm.isError(error)) throw error
  console.log(error.status, error.reason._tag)
}
