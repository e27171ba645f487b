import { type LanguageModelV4FilePart, type LanguageModelV4ToolResultOutput, UnsupportedFunctionalityError } from "@ai-sdk/provider"
import { generateText, isStepCount, tool } from "ai"
import { assert, describe, it } from "vitest"
import { z } from "zod"
import { createParadigm } from "../src/index.ts"
import { toMessages } from "../src/prompt.ts"
import { serve } from "./Loopback.ts"
import { whole } from "./Reply.ts"

globalThis.AI_SDK_LOG_WARNINGS = false

const apiKey = "sk-pdgm/4f0c+9d1e=="
const base64 = (...bytes: ReadonlyArray<number>) => Buffer.from(bytes).toString("base64")
const png = base64(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
const wav = Buffer.from("RIFF\0\0\0\0WAVEfmt ").toString("base64")
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, "base64"))

const refusal = (work: () => unknown): string => {
  try {
    return `accepted: ${JSON.stringify(work())}`
  } catch (error) {
    return UnsupportedFunctionalityError.isInstance(error) ? "unsupported" : String(error)
  }
}

const partOf = (file: Omit<LanguageModelV4FilePart, "type">) =>
  toMessages(
    [
      {
        role: "user",
        content: [
          { type: "text", text: "x" },
          { type: "file", ...file }
        ]
      }
    ],
    "reasoning"
  )[0]?.content?.[1]

const url = new URL("https://example.com/a")

describe("a file of the user", () => {
  it.each<[mediaType: string, data: LanguageModelV4FilePart["data"], part: unknown]>([
    ["image/png", { type: "data", data: png }, { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }],
    ["image/png", { type: "data", data: bytesOf(png) }, { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }],
    ["image/*", { type: "data", data: png }, { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }],
    ["image", { type: "data", data: bytesOf(png) }, { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }],
    ["image/*", { type: "url", url }, { type: "image_url", image_url: { url: url.href } }],
    ["audio/wav", { type: "data", data: wav }, { type: "input_audio", input_audio: { data: wav, format: "wav" } }],
    ["audio", { type: "data", data: wav }, { type: "input_audio", input_audio: { data: wav, format: "wav" } }],
    ["audio/mpeg", { type: "data", data: "AAAA" }, { type: "input_audio", input_audio: { data: "AAAA", format: "mp3" } }],
    ["audio/flac", { type: "data", data: "AAAA" }, { type: "audio_url", audio_url: { url: "data:audio/flac;base64,AAAA" } }],
    ["audio/mpeg", { type: "url", url }, { type: "audio_url", audio_url: { url: url.href } }],
    ["video/mp4", { type: "data", data: "AAAA" }, { type: "video_url", video_url: { url: "data:video/mp4;base64,AAAA" } }],
    ["video", { type: "url", url }, { type: "video_url", video_url: { url: url.href } }],
    ["text/plain", { type: "data", data: Buffer.from("é").toString("base64") }, { type: "text", text: "é" }],
    ["text", { type: "data", data: new TextEncoder().encode("é") }, { type: "text", text: "é" }],
    ["text/csv", { type: "text", text: "a,b" }, { type: "text", text: "a,b" }],
    ["application/pdf", { type: "text", text: "page" }, { type: "text", text: "page" }],
    [
      "application/pdf",
      { type: "data", data: "JVBERi0=" },
      { type: "file", file: { filename: "document.pdf", file_data: "data:application/pdf;base64,JVBERi0=" } }
    ],
    ["image/png", { type: "reference", reference: { paradigm: "f-1" } }, { type: "file", file: { file_id: "f-1" } }],
    ["application/pdf", { type: "reference", reference: { paradigm: "f-1" } }, { type: "file", file: { file_id: "f-1" } }]
  ])("of the type %s is sent: %j", (mediaType, data, part) => {
    assert.deepStrictEqual(partOf({ mediaType, data }), part)
  })

  it.each<[mediaType: string, data: LanguageModelV4FilePart["data"]]>([
    ["image/png", { type: "text", text: "x" }],
    ["audio/wav", { type: "text", text: "x" }],
    ["video/mp4", { type: "text", text: "x" }],
    ["text/plain", { type: "url", url }],
    ["application/pdf", { type: "url", url }],
    ["application/zip", { type: "data", data: "AAAA" }],
    ["image/*", { type: "data", data: "AAAA" }]
  ])("of the type %s is refused: %j", (mediaType, data) => {
    assert.strictEqual(
      refusal(() => partOf({ mediaType, data })),
      "unsupported"
    )
  })

  it("uploaded to another provider is refused", () => {
    assert.match(
      refusal(() => partOf({ mediaType: "image/png", data: { type: "reference", reference: { openai: "f-1" } } })),
      /NoSuchProviderReference/
    )
  })

  it("has the detail and the cache id of its options", () => {
    const providerOptions = { paradigm: { detail: "low", uuid: "u-1" } }
    assert.deepStrictEqual(partOf({ mediaType: "image/png", data: { type: "url", url }, providerOptions }), {
      uuid: "u-1",
      type: "image_url",
      image_url: { url: url.href, detail: "low" }
    })
  })

  it("keeps its filename", () => {
    const part = partOf({ mediaType: "application/pdf", data: { type: "data", data: "JVBERi0=" }, filename: "a.pdf" })
    assert.strictEqual((part as { readonly file?: { readonly filename?: string } } | undefined)?.file?.filename, "a.pdf")
  })
})

describe("messages", () => {
  it("of one text are a string", () => {
    assert.deepStrictEqual(
      toMessages(
        [
          { role: "system", content: "Be brief." },
          { role: "user", content: [{ type: "text", text: "Hi" }], providerOptions: { paradigm: { name: "ada" } } },
          {
            role: "assistant",
            content: [
              { type: "text", text: "He" },
              { type: "text", text: "llo" }
            ]
          }
        ],
        "reasoning"
      ),
      [
        { role: "system", content: "Be brief." },
        { name: "ada", role: "user", content: "Hi" },
        { role: "assistant", content: "Hello" }
      ]
    )
  })

  it.each<[unknown, string]>([
    [{ a: 1 }, '{"a":1}'],
    ['{"a":1}', '{"a":1}'],
    ['{"a":', "{}"],
    ["", "{}"],
    ["text", "{}"],
    [null, "{}"],
    [undefined, "{}"],
    [[1], "{}"],
    [12, "{}"],
    [{ a: 1n }, '{"a":"1"}']
  ])("replay the input %o as an object", (input, text) => {
    const [message] = toMessages(
      [{ role: "assistant", content: [{ type: "tool-call", toolCallId: "c", toolName: "t", input }] }],
      "reasoning"
    )
    assert.deepStrictEqual(message, {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c", type: "function", function: { name: "t", arguments: text } }]
    })
  })

  it("have the results of tools that another provider ran in between", () => {
    const roles = toMessages(
      [
        {
          role: "assistant",
          content: [
            { type: "tool-call", toolCallId: "c", toolName: "search", input: {}, providerExecuted: true },
            { type: "tool-result", toolCallId: "c", toolName: "search", output: { type: "text", value: "found" } },
            { type: "text", text: "So." }
          ]
        }
      ],
      "reasoning"
    ).map(({ content, role }) => [role, content])
    assert.deepStrictEqual(roles, [
      ["assistant", null],
      ["tool", "found"],
      ["assistant", "So."]
    ])
  })

  it.each([
    { type: "file", mediaType: "image/png", data: { type: "data", data: png } },
    { type: "reasoning-file", mediaType: "image/png", data: { type: "data", data: png } },
    { type: "custom", kind: "other.block" }
  ] as const)("of the assistant with $type are refused", (part) => {
    assert.strictEqual(
      refusal(() => toMessages([{ role: "assistant", content: [part] }], "reasoning")),
      "unsupported"
    )
  })
})

describe("the result of a tool", () => {
  it.each<[LanguageModelV4ToolResultOutput, unknown]>([
    [{ type: "text", value: "sunny" }, "sunny"],
    [{ type: "json", value: { a: [1] } }, '{"a":[1]}'],
    [{ type: "json", value: null }, "null"],
    [{ type: "error-text", value: "failed" }, "failed"],
    [{ type: "error-json", value: { code: 1 } }, '{"code":1}'],
    [{ type: "execution-denied", reason: "Not now." }, "Not now."],
    [{ type: "execution-denied" }, "The user denied the execution of the tool."],
    [{ type: "content", value: [{ type: "text", text: "a" }] }, "a"],
    [
      {
        type: "content",
        value: [
          { type: "text", text: "a" },
          { type: "file", mediaType: "image/png", data: { type: "data", data: png } }
        ]
      },
      [
        { type: "text", text: "a" },
        { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }
      ]
    ]
  ])("%j is sent", (output, content) => {
    const prompt = [{ role: "tool" as const, content: [{ type: "tool-result" as const, toolCallId: "c", toolName: "t", output }] }]
    assert.deepStrictEqual<unknown>(toMessages(prompt, "reasoning"), [{ role: "tool", tool_call_id: "c", content }])
  })

  it("with custom content is refused", () => {
    const output = { type: "content" as const, value: [{ type: "custom" as const }] }
    const prompt = [{ role: "tool" as const, content: [{ type: "tool-result" as const, toolCallId: "c", toolName: "t", output }] }]
    assert.strictEqual(
      refusal(() => toMessages(prompt, "reasoning")),
      "unsupported"
    )
  })

  it("with an image is sent as an image in the next step of generateText", async () => {
    const called = { id: "c1", type: "function", function: { name: "shot", arguments: "{}" } }
    await using server = await serve(whole({ tool_calls: [called] }, "tool_calls"), whole({ content: "ok" }))
    const shot = tool({
      inputSchema: z.object({}),
      execute: () => png,
      toModelOutput: ({ output }) => ({
        type: "content" as const,
        value: [
          { type: "text" as const, text: "Here." },
          { type: "file" as const, mediaType: "image/png", data: { type: "data" as const, data: output } }
        ]
      })
    })
    await generateText({
      model: createParadigm({ apiKey, baseUrl: server.baseUrl })("m"),
      prompt: "go",
      tools: { shot },
      stopWhen: isStepCount(2)
    })
    assert.deepStrictEqual(server.body(1).messages[2].content, [
      { type: "text", text: "Here." },
      { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }
    ])
  })
})

describe("the bytes of an image", () => {
  it("are written without Buffer", () => {
    const data = bytesOf(png)
    const { Buffer } = globalThis
    Object.assign(globalThis, { Buffer: undefined })
    try {
      const part = partOf({ mediaType: "image", data: { type: "data", data } })
      assert.deepStrictEqual(part, { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } })
    } finally {
      Object.assign(globalThis, { Buffer })
    }
  })
})
