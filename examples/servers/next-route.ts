// A route handler of Next: app/api/chat/route.ts
import { Paradigm } from "@paradigm-effect/node"

const paradigm = Paradigm.connect()

export async function POST(request: Request): Promise<Response> {
  const { question } = (await request.json()) as { readonly question: string }
  const messages = [{ role: "user" as const, content: question }]
  return paradigm.chat.completions.stream({ model: "alfred-4.2", messages }, { signal: request.signal }).toResponse()
}
