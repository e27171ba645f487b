import { open as openSocket } from "@paradigm-effect/conformance/NodeSocket"
import { describeServerConformance } from "@paradigm-effect/conformance/ServerVitest"
import { startSimulator } from "./SimulatorUnderTest.ts"

describeServerConformance("the simulator", async () => {
  const { apiKey, close, model, running, url } = await startSimulator()
  return { target: { name: "simulator", baseUrl: url, model, profile: "vllm", apiKey, running, openSocket }, close }
})
