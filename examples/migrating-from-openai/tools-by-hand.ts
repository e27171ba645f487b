// A tool call, answered by the program.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const request = {
  model: "alfred-4.2",
  tools: [{ type: "function" as const, function: { name: "get_time", parameters: { type: "object", properties: {} } } }]
}
const question = { role: "user" as const, content: "What time is it?" }
const asked = await client.chat.completions.create({ ...request, messages: [question] })
const message = asked.choices[0]!.message
const call = message.tool_calls![0]!
if (call.type === "function") console.log(call.function.name)

const answered = await client.chat.completions.create({
  ...request,
  messages: [question, message, { role: "tool", tool_call_id: call.id!, content: "12:00" }]
})
console.log(answered.choices[0]?.message.content)
