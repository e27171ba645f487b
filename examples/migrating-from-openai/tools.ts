// The model calls a function until it can answer.
import { Paradigm } from "@paradigm-effect/node"

const client = Paradigm.connect({ baseUrl: process.env.PARADIGM_BASE_URL })

const getWeather = async ({ city }: { city: string }) => ({ city, celsius: 21 })

const runner = client.chat.completions.runTools({
  model: "alfred-4.2",
  messages: [{ role: "user", content: "How warm is it in Paris?" }],
  tools: [
    {
      type: "function",
      function: {
        name: "get_weather",
        function: getWeather,
        parse: JSON.parse,
        description: "Current weather of a city",
        parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] }
      }
    }
  ]
})
runner.on("functionToolCall", (call) => console.log("call", call.name, call.arguments))
runner.on("functionToolCallResult", (result) => console.log("result", result))
console.log(await runner.finalContent())
console.log(runner.messages.length, (await runner.totalUsage()).total_tokens)
