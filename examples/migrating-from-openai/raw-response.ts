// The headers of a response.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const { data, response, request_id } = await client.chat.completions
  .create({ model: "alfred-4.2", messages: [{ role: "user", content: "Say hello" }] })
  .withResponse()
console.log(response.status, response.headers.get("content-type"), request_id, data.choices.length)
