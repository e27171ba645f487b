// A relay to a page with Hono, for any runtime that serves `fetch`.
import { Paradigm } from "@paradigm-effect/node"
import { Hono } from "hono"

const paradigm = Paradigm.connect()

export const app = new Hono()

app.post("/chat", async (context) => {
  const { question } = await context.req.json<{ readonly question: string }>()
  const messages = [{ role: "user" as const, content: question }]
  return paradigm.chat.completions.stream({ model: "alfred-4.2", messages }, { signal: context.req.raw.signal }).toResponse()
})
