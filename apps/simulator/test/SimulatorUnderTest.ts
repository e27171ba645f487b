/** A simulator with words of its own, at a pace at which one can see what comes first, which tells how many answers it is generating. */
import * as Simulator from "@paradigm-effect/simulator/Simulator"

export const startSimulator = async () => {
  const model = "alfred-4.2"
  const apiKey = `sk-${crypto.randomUUID()}`
  const { close, ledger, url } = await Simulator.start({ models: [model], mode: "random", interTokenLatency: "1 millis", apiKey })
  return { url, model, apiKey, running: async () => ledger().open, close }
}
