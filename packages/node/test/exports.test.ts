import { assert, describe, it } from "@effect/vitest"
import * as Core from "@paradigm-effect/core"
import * as Browser from "../../browser/src/index.ts"
import * as Deno from "../../deno/src/index.ts"
import * as Node from "../src/index.ts"

describe("the runtime packages", () => {
  it("export the same names: core's, and Paradigm", () => {
    const names = [...Object.keys(Core), "Paradigm"].toSorted()
    for (const runtime of [Node, Browser, Deno]) assert.deepStrictEqual(Object.keys(runtime).toSorted(), names)
  })

  it("give Paradigm the same names, except for the environment in a browser", () => {
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
      "toResponse",
      "tool",
      "withHelpers"
    ]
    for (const { Paradigm } of [Node, Deno]) assert.deepStrictEqual(Object.keys(Paradigm).toSorted(), names)
    // A page has no environment variables.
    assert.deepStrictEqual(
      Object.keys(Browser.Paradigm).toSorted(),
      names.filter((name) => name !== "layerConfig")
    )
  })
})
