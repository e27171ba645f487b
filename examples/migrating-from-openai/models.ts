// The models of the endpoint.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const ids: Array<string> = []
for await (const model of client.models.list()) ids.push(model.id)
console.log(ids)
console.log((await client.models.list()).data[0]?.owned_by)
