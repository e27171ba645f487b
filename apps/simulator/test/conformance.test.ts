import { open as openSocket } from "@paradigm-effect/conformance/NodeSocket"
import { describeServerConformance } from "@paradigm-effect/conformance/ServerVitest"
import { startSimulator } from "./SimulatorUnderTest.ts"

// As vLLM, the simulator answers for its first model then.
const reason = "A request without a model, or with an empty one, is answered by vLLM 0.32"
const until = "2027-11-28"

describeServerConformance(
  "the simulator",
  async () => {
    const { apiKey, close, model, running, url } = await startSimulator()
    return { target: { name: "simulator", baseUrl: url, model, profile: "vllm", apiKey, running, openSocket }, close }
  },
  {
    known: [
      { pattern: "server-request/missing-model", reason, until },
      { pattern: "server-error/long-model-name", reason, until }
    ]
  }
)
