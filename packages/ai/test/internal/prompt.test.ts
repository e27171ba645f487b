import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as AiError from "effect/ai/AiError"
import * as Prompt from "effect/ai/Prompt"
import { toMessages } from "../../src/internal/prompt.ts"

const png = "iVBORw0KGgoAAAANSUhEUg=="
const bytes = (base64: string) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))

const partOf = (mediaType: string, data: string | Uint8Array | URL, more: object = {}): unknown => {
  const prompt = Prompt.make([{ role: "user", content: [{ type: "file", mediaType, data, ...more }] }])
  const [message] = toMessages(prompt, "reasoning")
  assert(message?.role === "user")
  if (typeof message.content === "string") return { type: "text", text: message.content }
  assert.lengthOf(message.content, 1)
  return message.content[0]
}

const text = (value: string) => btoa(String.fromCharCode(...new TextEncoder().encode(value)))

const image = (url: string) => ({ type: "image_url", image_url: { url } })
const inline = (mediaType: string, base64: string) => [
  bytes(base64),
  base64,
  `data:${mediaType};base64,${base64}`,
  new URL(`data:${mediaType};base64,${base64}`)
]

describe("a file", () => {
  it.each([
    ["image/png", png, image(`data:image/png;base64,${png}`)],
    ["image/*", png, image(`data:image/png;base64,${png}`)],
    ["image/*", "/9j/4AAQ", image("data:image/jpeg;base64,/9j/4AAQ")],
    ["image/*", "R0lGODlh", image("data:image/gif;base64,R0lGODlh")],
    ["image/*", "UklGRgAA", image("data:image/webp;base64,UklGRgAA")],
    ["audio/wav", "UklGRgAA", { type: "input_audio", input_audio: { data: "UklGRgAA", format: "wav" } }],
    ["audio/x-wav", "UklGRgAA", { type: "input_audio", input_audio: { data: "UklGRgAA", format: "wav" } }],
    ["audio/mpeg", "SUQzAAAA", { type: "input_audio", input_audio: { data: "SUQzAAAA", format: "mp3" } }],
    ["audio/ogg", "T2dnUwAA", { type: "audio_url", audio_url: { url: "data:audio/ogg;base64,T2dnUwAA" } }],
    ["video/mp4", "AAAAIGZ0", { type: "video_url", video_url: { url: "data:video/mp4;base64,AAAAIGZ0" } }],
    ["text/plain", text("héllo 😀"), { type: "text", text: "héllo 😀" }],
    ["application/pdf", "JVBERi0x", { type: "file", file: { file_data: "data:application/pdf;base64,JVBERi0x" } }]
  ])("of the type %s is sent as its bytes, however they are given (%s)", (mediaType, base64, expected) => {
    for (const data of inline(mediaType, base64)) assert.deepStrictEqual(partOf(mediaType, data), expected)
  })

  it.each([
    ["image/png", image("https://example.com/a")],
    ["image/*", image("https://example.com/a")],
    ["audio/wav", { type: "audio_url", audio_url: { url: "https://example.com/a" } }],
    ["video/mp4", { type: "video_url", video_url: { url: "https://example.com/a" } }]
  ])("of the type %s is sent as its URL", (mediaType, expected) => {
    for (const data of ["https://example.com/a", new URL("https://example.com/a")]) {
      assert.deepStrictEqual(partOf(mediaType, data), expected)
    }
  })

  it("has its name, and an image its resolution", () => {
    assert.deepStrictEqual(partOf("application/pdf", "JVBERi0x", { fileName: "a.pdf" }), {
      type: "file",
      file: { file_data: "data:application/pdf;base64,JVBERi0x", filename: "a.pdf" }
    })
    assert.deepStrictEqual(partOf("image/png", png, { options: { paradigm: { detail: "low" } } }), {
      type: "image_url",
      image_url: { url: `data:image/png;base64,${png}`, detail: "low" }
    })
  })

  it("is refused with a resolution that is not a string", () => {
    assert.throws(() => partOf("image/png", png, { options: { paradigm: { detail: 7 } } }), /detail of a file is not a string/)
  })

  it("may be a data URL that is not base64, or base64 in several lines", () => {
    assert.deepStrictEqual(partOf("text/plain", "data:text/plain,h%C3%A9llo"), { type: "text", text: "héllo" })
    assert.deepStrictEqual(partOf("image/png", `${png.slice(0, 8)}\n${png.slice(8)}\n`), image(`data:image/png;base64,${png}`))
  })

  it.each([
    ["text/plain", "https://example.com/a", /given by a URL/],
    ["application/pdf", new URL("https://example.com/a"), /given by a URL/],
    ["image/png", new URL("file:///etc/passwd"), /scheme "file"/],
    ["image/png", "not base64!", /neither base64 nor a URL/],
    ["image/*", "AAAA", /not exact/],
    ["video/*", "AAAA", /not exact/],
    ["text/plain", Uint8Array.of(0xff), /not UTF-8/],
    ["text/plain", "data:text/plain,%E0%A4", /invalid escape/]
  ])("of the type %s that has no form on the wire is refused: %s", (mediaType, data, message) => {
    assert.throws(() => partOf(mediaType, data), message)
  })
})

describe("a prompt", () => {
  const messages = (input: Prompt.RawInput) => toMessages(Prompt.make(input), "reasoning")

  it("keeps the order of roles and the parts of a message", () => {
    assert.deepStrictEqual(
      messages([
        { role: "system", content: "Be brief" },
        { role: "user", content: "Hi" },
        {
          role: "assistant",
          content: [
            { type: "reasoning", text: "greet" },
            { type: "text", text: "Hel" },
            { type: "text", text: "lo" }
          ]
        },
        {
          role: "user",
          content: [
            { type: "text", text: "Describe" },
            { type: "file", mediaType: "image/png", data: png }
          ]
        }
      ]),
      [
        { role: "system", content: "Be brief" },
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hello", reasoning: "greet" },
        {
          role: "user",
          content: [
            { type: "text", text: "Describe" },
            { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } }
          ]
        }
      ]
    )
  })

  it.each([
    [{ city: "Paris" }, '{"city":"Paris"}'],
    ['{"city":"Paris"}', '{"city":"Paris"}'],
    [{}, "{}"],
    ['{"ci', "{}"],
    ["[1]", "{}"],
    ["", "{}"],
    [null, "{}"],
    [undefined, "{}"],
    [[1], "{}"],
    [7, "{}"]
  ])("replays the parameters %j as the text of an object", (params, expected) => {
    const [message] = messages([{ role: "assistant", content: [{ type: "tool-call", id: "c1", name: "weather", params }] }])
    assert.deepStrictEqual(message, {
      role: "assistant",
      content: null,
      tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: expected } }]
    })
  })

  const failure = Schema.encodeSync(AiError.AiError)(
    AiError.make({
      module: "Toolkit",
      method: "weather.handle",
      reason: new AiError.ToolParameterValidationError({ toolName: "weather", description: 'Missing key at ["city"]' })
    })
  )

  it.each([
    ["a text", { result: "12:00" }, "12:00"],
    ["a value", { result: { celsius: 18 } }, '{"celsius":18}'],
    ["nothing", { result: undefined }, "null"],
    ["a failure", { result: { code: 7 }, isFailure: true }, '{"error":{"code":7}}'],
    [
      "a failure of effect/ai",
      { result: failure, isFailure: true },
      `{"error":"Invalid parameters for tool 'weather': Missing key at [\\"city\\"]"}`
    ],
    ["a denial", { result: { type: "execution-denied", reason: "not today" }, isFailure: true }, "not today"],
    ["a denial without a reason", { result: { type: "execution-denied" }, isFailure: true }, "The call was not executed"],
    ["an interruption", { result: { type: "execution-interrupted", reason: "cut off" }, isFailure: true }, "cut off"],
    ["the model's form of it", { result: { a: 1 }, modelOutput: [{ type: "text", text: "one" }] }, "one"],
    [
      "an image",
      {
        result: {},
        modelOutput: [
          { type: "text", text: "map" },
          { type: "file", mediaType: "image/png", data: png }
        ]
      },
      [{ type: "text", text: "map" }, image(`data:image/png;base64,${png}`)]
    ]
  ])("sends as the result of a tool %s", (_, result, content) => {
    const sent = messages([
      {
        role: "tool",
        content: [{ type: "tool-result", id: "c1", name: "weather", isFailure: false, ...result } as Prompt.ToolResultPartEncoded]
      }
    ])
    assert.deepStrictEqual(sent, [{ role: "tool", tool_call_id: "c1", content }] as unknown)
  })

  it("refuses a result that is not JSON", () => {
    const prompt = Prompt.make([
      { role: "tool", content: [{ type: "tool-result", id: "c1", name: "count", isFailure: false, result: { count: 1n } }] }
    ])
    assert.throws(() => toMessages(prompt, "reasoning"), /the result of the tool count is not JSON/)
  })

  it("sends one message for each result, approvals not at all, and the results of another provider's tools after their message", () => {
    const sent = messages([
      {
        role: "assistant",
        content: [
          { type: "tool-call", id: "c0", name: "search", params: {}, providerExecuted: true },
          { type: "tool-result", id: "c0", name: "search", isFailure: false, result: "found", providerExecuted: true },
          { type: "tool-approval-request", approvalId: "a1", toolCallId: "c1" },
          { type: "tool-call", id: "c1", name: "weather", params: {} },
          { type: "tool-call", id: "c2", name: "now", params: {} }
        ]
      },
      {
        role: "tool",
        content: [
          { type: "tool-approval-response", approvalId: "a1", approved: true },
          { type: "tool-result", id: "c1", name: "weather", isFailure: false, result: "a" },
          { type: "tool-result", id: "c2", name: "now", isFailure: false, result: "b" }
        ]
      }
    ])
    assert.deepStrictEqual(
      sent.map((message) => [message.role, "tool_call_id" in message ? message.tool_call_id : undefined]),
      [
        ["assistant", undefined],
        ["tool", "c0"],
        ["tool", "c1"],
        ["tool", "c2"]
      ]
    )
    assert(sent[0]?.role === "assistant")
    assert.deepStrictEqual(
      sent[0].tool_calls?.map(({ id }) => id),
      ["c0", "c1", "c2"]
    )
  })

  it("sends an empty text for a message with reasoning only", () => {
    assert.deepStrictEqual(messages([{ role: "assistant", content: [{ type: "reasoning", text: "hm" }] }]), [
      { role: "assistant", content: "", reasoning: "hm" }
    ])
  })
})
