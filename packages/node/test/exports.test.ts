import { assert, describe, it } from "@effect/vitest"
import * as Core from "@paradigm-effect/core"
import * as Browser from "../../browser/src/index.ts"
import * as BrowserPromise from "../../browser/src/promise.ts"
import * as Deno from "../../deno/src/index.ts"
import * as DenoPromise from "../../deno/src/promise.ts"
import * as Fetch from "../../fetch/src/index.ts"
import * as FetchPromise from "../../fetch/src/promise.ts"
import * as Node from "../src/index.ts"
import * as NodePromise from "../src/promise.ts"

const namesOf = (value: object) => Object.keys(value).toSorted()

describe("the runtime packages", () => {
  it("export the same names: core's, and Paradigm", () => {
    const names = [...Object.keys(Core), "Paradigm"].toSorted()
    for (const runtime of [Node, Browser, Deno, Fetch]) assert.deepStrictEqual(namesOf(runtime), names)
  })

  it("give Paradigm the same names, except for environment and telemetry in a browser", () => {
    const names = [
      "Client",
      "Error",
      "connect",
      "fromReadableStream",
      "isError",
      "layer",
      "layerConfig",
      "logTo",
      "responseFormat",
      "telemetry",
      "toResponse",
      "tool",
      "withHelpers"
    ]
    for (const { Paradigm } of [Node, Deno, Fetch]) assert.deepStrictEqual(namesOf(Paradigm), names)
    // A page has no environment variables, and does not load telemetry unless it imports it.
    const ofPages = names.filter((name) => name !== "layerConfig" && name !== "telemetry")
    assert.deepStrictEqual(namesOf(Browser.Paradigm), ofPages)
  })

  it.each([
    ["node", Node.Paradigm, NodePromise.Paradigm],
    ["browser", Browser.Paradigm, BrowserPromise.Paradigm],
    ["deno", Deno.Paradigm, DenoPromise.Paradigm],
    ["fetch", Fetch.Paradigm, FetchPromise.Paradigm]
  ])("have the same Paradigm with promises, without the members that are Effect's: %s", (_, main, promise) => {
    const ofEffect = new Set(["Client", "layer", "layerConfig"])
    const names = namesOf(main).filter((name) => !ofEffect.has(name))
    assert.deepStrictEqual(namesOf(promise), names)
  })
})
