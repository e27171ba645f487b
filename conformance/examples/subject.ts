// A subject around the package `openai`: paradigm-conformance client --command "node subject.ts"
import { serveCalls } from "@paradigm-effect/conformance/StdioSubject"
import { OpenAI } from "openai"
import type { ChatCompletionCreateParamsNonStreaming as Body } from "openai/resources/chat/completions"

await serveCalls({
  name: "openai",
  capabilities: ["abort", "gzip", "retry", "utf16"],
  open: ({ apiKey, baseUrl, retry }) => {
    const { completions } = new OpenAI({ apiKey, baseURL: baseUrl, maxRetries: (retry?.attempts ?? 3) - 1 }).chat
    // Cases send what the types of a client do not know, too.
    return {
      json: (request, { signal }) => completions.create(request as unknown as Body, { signal }),
      stream: (request, { signal }) => completions.create({ ...(request as unknown as Body), stream: true }, { signal })
    }
  }
})
