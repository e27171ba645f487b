// app/api/chat/route.ts: the conversation of a page, streamed. The key stays on the server: PARADIGM_API_KEY.
import { paradigm } from "@paradigm-effect/ai-sdk"
import { convertToModelMessages, isStepCount, streamText, tool, type UIMessage } from "ai"
import { z } from "zod"

const now = tool({
  description: "The current time in UTC.",
  inputSchema: z.object({}),
  execute: () => new Date().toISOString()
})

export async function POST(request: Request): Promise<Response> {
  const { messages } = (await request.json()) as { messages: Array<UIMessage> }
  const result = streamText({
    model: paradigm("alfred-4.2"),
    messages: await convertToModelMessages(messages),
    tools: { now },
    stopWhen: isStepCount(5),
    // Ends the generation when the reader leaves the page.
    abortSignal: request.signal
  })
  return result.toUIMessageStreamResponse({ sendReasoning: true })
}
