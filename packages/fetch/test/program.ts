// A program for the tests: calls the endpoint with the options of its argument, and prints the text or the error.
import { Paradigm } from "../src/index.ts"

const [options = "{}"] = process.argv.slice(2)
try {
  await using paradigm = Paradigm.connect(JSON.parse(options) as Paradigm.ConnectOptions)
  const { choices } = await paradigm.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Hello" }] })
  console.log(choices[0]?.message.content)
} catch (error) {
  console.log(Paradigm.isError(error) ? error.message : error)
}
