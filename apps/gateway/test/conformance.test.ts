import { open as openSocket } from "@paradigm-effect/conformance/NodeSocket"
import { describeServerConformance } from "@paradigm-effect/conformance/ServerVitest"
import { startBeforeSimulator } from "./BeforeSimulator.ts"

const start = async () => {
  const { baseUrl, close, running, upstream } = await startBeforeSimulator()
  return {
    target: {
      name: "gateway",
      profile: "paradigm" as const,
      baseUrl,
      model: "alfred",
      apiKey: "pk-conformance",
      forbiddenModel: "forbidden",
      maxBodyBytes: 100_000,
      upstream,
      running,
      openSocket
    },
    close
  }
}

describeServerConformance("the gateway", start)
