import { assert, describe, it } from "vitest"
import { serveScenes } from "./Loopback.ts"
import { expected, play, scenes } from "./Scenes.ts"
import { startWorker } from "./Workerd.ts"

describe("the program for every runtime", () => {
  it("plays in Node", async () => {
    await using server = await serveScenes(scenes)
    assert.deepStrictEqual(await play(new URL(server.baseUrl).origin), expected)
    assert.strictEqual(server.body(0).messages[0].content[0].image_url.url, "data:image/png;base64,iVBORw==")
  })

  it("plays in workerd, without compatibility with Node", async () => {
    await using server = await serveScenes(scenes)
    await using worker = await startWorker("worker.ts")
    const response = await fetch(`${worker.url}/?origin=${new URL(server.baseUrl).origin}`)
    assert.deepStrictEqual(await response.json(), expected)
  })
})
