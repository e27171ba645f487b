// A Worker for the tests. Its client is created with the module and used by all requests.
import * as Cases from "@paradigm-effect/conformance/Cases"
import * as ParadigmSubject from "@paradigm-effect/conformance/ParadigmSubject"
import * as Runner from "@paradigm-effect/conformance/Runner"
import { Paradigm } from "../src/index.ts"
import { settleAll } from "./Settling.ts"
import { known } from "./workers.known-failures.ts"

// The cases share the one thread of a Worker.
const subject = ParadigmSubject.make({ runtime: "workers", layer: Paradigm.layer })

interface Environment {
  readonly UPSTREAM: string
}

let client: Paradigm.ParadigmPromise | undefined

const routes: Readonly<Record<string, (request: Request, environment: Environment) => Promise<Response>>> = {
  // Runs one case of the conformance suite.
  "/case": async (request) => {
    const { controlUrl, id } = (await request.json()) as { readonly controlUrl: string; readonly id: string }
    const instance = Cases.plan.find((instance) => instance.id === id)
    if (instance === undefined) return new Response("unknown case", { status: 404 })
    return Response.json(await Runner.run(instance, subject, { controlUrl, known, timeLimitMs: 30_000 }))
  },
  "/settle": async (_, { UPSTREAM }) => Response.json(await settleAll(Paradigm.connect, UPSTREAM)),
  "/stream": async (request, { UPSTREAM }) => {
    client ??= Paradigm.connect({ apiKey: "sk-worker-0123456789", baseUrl: UPSTREAM })
    const content = new URL(request.url).searchParams.get("content") ?? ""
    const stream = await client.chat.completions.create({ model: "alfred", messages: [{ role: "user", content }], stream: true })
    return new Response(stream.toReadableStream())
  }
}

export default {
  fetch: async (request: Request, environment: Environment): Promise<Response> =>
    (await routes[new URL(request.url).pathname]?.(request, environment)) ?? new Response(null, { status: 404 })
}
