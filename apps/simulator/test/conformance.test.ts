import { open as openSocket } from "@paradigm-effect/conformance/NodeSocket"
import { describeServerConformance } from "@paradigm-effect/conformance/ServerVitest"
import { startSimulator } from "./SimulatorUnderTest.ts"

// What vLLM rejects and the simulator takes.
const known = ["top-logprobs-too-many", "five-stops", "response-format-without-schema", "user-content-null"].map((name) => ({
  pattern: `server-request/${name}`,
  reason: "the simulator does not hold this rule of vLLM yet",
  until: "2027-01-31"
}))

const start = async () => {
  const { apiKey, close, model, running, url } = await startSimulator()
  return { target: { name: "simulator", baseUrl: url, model, profile: "vllm" as const, apiKey, running, openSocket }, close }
}

describeServerConformance("the simulator", start, { known })
