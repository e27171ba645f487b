import { afterAll, assert, describe, it } from "@effect/vitest"
import { fork } from "node:child_process"
import { once } from "node:events"
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { SpoolError, UsageSpool } from "../src/usage/UsageSpool.ts"
import { eventOf } from "./UsageEventOf.ts"

const root = mkdtempSync(join(tmpdir(), "paradigm-spool-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let number = 0
const folder = () => join(root, String(++number))
const mebibyte = 1024 * 1024

const drain = (spool: UsageSpool) => {
  const ids: Array<string> = []
  for (let segment = spool.take(); segment !== undefined; segment = spool.take()) {
    ids.push(...segment.events.map(({ id }) => id))
    segment.done()
  }
  return ids
}

describe("the spool", () => {
  it("gives events back as they were, in their order", () => {
    const spool = UsageSpool.open({ folder: folder(), maxBytes: mebibyte })
    const big = eventOf("big", 12_345_678_901_234_567_890n)
    for (const one of [eventOf("a"), big]) assert.isTrue(spool.append(one))
    assert.deepEqual(spool.take()?.events, [eventOf("a"), big])
    spool.close()
  })

  it("gives what was not done again, and after it what came meanwhile", () => {
    const spool = UsageSpool.open({ folder: folder(), maxBytes: mebibyte })
    spool.append(eventOf("a"))
    const first = spool.take()
    spool.append(eventOf("b"))
    assert.deepEqual(
      spool.take()?.events.map(({ id }) => id),
      ["a"]
    )
    first?.done()
    assert.deepEqual(drain(spool), ["b"])
    assert.strictEqual(spool.bytes, 0)
    spool.close()
  })

  it("keeps files small, and leaves none when everything is done", () => {
    const options = { folder: folder(), maxBytes: 64 * mebibyte }
    const spool = UsageSpool.open(options)
    for (let i = 0; i < 8000; i++) spool.append(eventOf(`${i}`))
    const sizes = readdirSync(options.folder).map((name) => statSync(join(options.folder, name)).size)
    assert.isAbove(sizes.length, 2)
    assert.isBelow(Math.max(...sizes), 1.1 * mebibyte)
    assert.lengthOf(new Set(drain(spool)), 8000)
    assert.deepEqual(readdirSync(options.folder), ["lock"])
    spool.close()
  })

  it("is full at its maximum, and has room again when events are done", () => {
    const spool = UsageSpool.open({ folder: folder(), maxBytes: 1000 })
    while (!spool.isFull) spool.append(eventOf("a"))
    assert.isBelow(spool.bytes, 1500)
    drain(spool)
    assert.isFalse(spool.isFull)
    spool.close()
  })

  it("survives a line that was cut, and counts it", () => {
    const options = { folder: folder(), maxBytes: mebibyte }
    const before = UsageSpool.open(options)
    before.append(eventOf("a"))
    before.close()
    const [name = ""] = readdirSync(options.folder)
    appendFileSync(join(options.folder, name), '{"id":"b","star')
    const spool = UsageSpool.open(options)
    const segment = spool.take()
    assert.strictEqual(segment?.damaged, 1)
    assert.lengthOf(segment?.events ?? [], 1)
    spool.close()
  })

  it("is used by one gateway at a time, and taken over from one that died", () => {
    const options = { folder: folder(), maxBytes: mebibyte }
    const spool = UsageSpool.open(options)
    assert.throws(() => UsageSpool.open(options), SpoolError, "Every gateway needs its own")
    spool.close()
    // The parent of this process lives, and a process of this number does not.
    writeFileSync(join(options.folder, "lock"), String(process.ppid))
    assert.throws(() => UsageSpool.open(options), SpoolError, String(process.ppid))
    writeFileSync(join(options.folder, "lock"), "4194305")
    UsageSpool.open(options).close()
  })

  it("says what is wrong with a folder that cannot be used", () => {
    writeFileSync(join(root, "file"), "")
    assert.throws(() => UsageSpool.open({ folder: join(root, "file", "x"), maxBytes: 1 }), SpoolError, "ENOTDIR")
  })

  // Report 21: 200 seconds without a database at 500 requests a second.
  it("keeps the memory flat while events wait, and has all of them afterwards", () => {
    const spool = UsageSpool.open({ folder: folder(), maxBytes: 200 * mebibyte })
    for (let i = 0; i < 5000; i++) spool.append(eventOf(`${i}`))
    const before = process.memoryUsage()
    for (let i = 5000; i < 100_000; i++) spool.append(eventOf(`${i}`))
    const { external, heapUsed } = process.memoryUsage()
    assert.isAbove(spool.bytes, 25 * mebibyte)
    // What waits is larger than what may be garbage here.
    assert.isBelow(heapUsed + external - before.heapUsed - before.external, 20 * mebibyte)
    let count = 0
    for (let segment = spool.take(); segment !== undefined; segment = spool.take()) {
      count += segment.events.length
      segment.done()
    }
    assert.strictEqual(count, 100_000)
    spool.close()
  })

  // Report 17: what was acknowledged to a process that was then killed.
  it("loses nothing when its process is killed", async () => {
    const options = { folder: folder(), maxBytes: 64 * mebibyte }
    let total = 0
    for (let i = 0; i < 3; i++) {
      const child = fork(fileURLToPath(new URL("SpoolingProcess.ts", import.meta.url)), [options.folder, String(i)], { silent: true })
      let acknowledged = -1
      const enough = new Promise<void>((resolve) => {
        child.on("message", (count: number) => {
          acknowledged = Math.max(acknowledged, count)
          if (acknowledged >= 500) resolve()
        })
      })
      await enough
      const exited = once(child, "exit")
      child.kill("SIGKILL")
      await exited
      const spool = UsageSpool.open(options)
      const ids = new Set(drain(spool))
      spool.close()
      for (let n = 0; n <= acknowledged; n++) assert.isTrue(ids.has(`${i}-${n}`), `${i}-${n} of ${acknowledged}`)
      total += ids.size
    }
    assert.isAbove(total, 1500)
  })
})
