import { assert, describe, it } from "@effect/vitest"
import type { ParadigmErrorReason } from "@paradigm-effect/core/ParadigmError"
import * as Schema from "effect/Schema"
import { readdirSync, readFileSync } from "node:fs"
import { outdated } from "../generate.ts"
import { type Case, Reason, type Runtime } from "../src/case/Case.ts"
import * as Cases from "../src/case/Cases.ts"
import { registerConformance } from "../src/bind/Deno.ts"
import * as KnownFailures from "../src/plan/KnownFailures.ts"
import * as Plan from "../src/plan/Plan.ts"
import * as ServerCases from "../src/server/ServerCases.ts"
import { makeReference } from "./reference.ts"

const [some] = Cases.all as readonly [Case]

describe("the cases", () => {
  it("have ids of their own", () => {
    const ids = Cases.plan.map((instance) => instance.id)
    assert.deepStrictEqual(ids, [...new Set(ids)])
    assert.isAtLeast(Cases.all.length, 60)
  })

  it("are decoded by a schema that takes nothing it does not know, and from the file of their group", () => {
    const file = { group: "request-json", cases: [some] }
    assert.deepStrictEqual(Cases.decode(file), [some])
    assert.throws(() => Cases.decode({ ...file, cases: [{ ...some, expects: {} }] }), /expects/)
    assert.throws(() => Cases.decode({ ...file, cases: [{ ...some, level: "MAY" }] }), /level/)
    assert.throws(() => Cases.decode({ ...file, group: "sse" }), /request-json\/minimal-body is in the file of group sse/)
  })

  it("take what they do not have themselves from their file's defaults", () => {
    const { operation, ...rest } = some
    const file = { group: "request-json", defaults: { level: "SHOULD", operation: { ...operation, kind: "stream" } } }
    const written = { ...rest, operation: { kind: "json" } }
    assert.deepStrictEqual(Cases.decode({ ...file, cases: [written] }), [some])
    const { level: _, ...levelless } = written
    assert.deepStrictEqual(Cases.decode({ ...file, cases: [levelless] }), [{ ...some, level: "SHOULD" }])
    assert.throws(() => Cases.decode({ group: "request-json", cases: [levelless] }), /request-json\/minimal-body.*\n?.*level/s)
    assert.throws(() => Cases.decode({ ...file, defaults: { levels: "MUST" }, cases: [some] }), /levels/)
  })

  it("are written as the schema of their files says", () => {
    const decode = (folder: string, schema: Schema.Decoder<unknown>) => {
      const here = new URL(`../cases/${folder}/`, import.meta.url)
      for (const name of readdirSync(here).filter((entry) => entry !== "profiles.json")) {
        const file: unknown = JSON.parse(readFileSync(new URL(name, here), "utf8"))
        assert.doesNotThrow(() => Schema.decodeUnknownSync(schema)(file, { onExcessProperty: "error" }), undefined, name)
      }
    }
    decode("client", Cases.File)
    decode("server", ServerCases.File)
  })

  it("know the client's reasons, and reach each", () => {
    type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never
    const same: Same<Reason, ParadigmErrorReason["_tag"]> = true
    assert.isTrue(same)
    const reached = JSON.stringify(Cases.all.map((item) => item.expect.house?.reason))
    assert.deepStrictEqual(
      Reason.literals.filter((reason) => !reached.includes(`"${reason}"`)),
      // No server causes them: an exception of the transport, an answer's schema, and use after closing.
      ["TransportFailed", "AnswerMismatch", "Closed"]
    )
  })

  it("say how often a call is made where its error is worth another try", () => {
    const unsaid = Cases.all.filter(({ expect, operation }) => expect.house?.retryable === true && operation.client?.retry === undefined)
    assert.deepStrictEqual(
      unsaid.map((item) => item.id),
      []
    )
  })

  it("have their schema and their plan published: node generate.ts", () => {
    assert.deepStrictEqual(outdated(), [])
  })
})

describe("MATRIX.md", () => {
  it("is of the list of cases as it is: pnpm matrix", async () => {
    const { hash, instances } = await Plan.summarize(Cases.plan)
    const text = readFileSync(new URL("../MATRIX.md", import.meta.url), "utf8")
    assert.include(text, `in ${instances} variants, hash ${hash}`)
  })
})

describe("the plan", () => {
  it("has an instance for each combination of a case's axes", () => {
    const item: Case = { ...some, id: "sse/x", axes: { split: ["whole", "bytes"], eol: ["lf", "cr"], coding: ["gzip"] } }
    assert.deepStrictEqual(
      Plan.make([item]).map((instance) => instance.id),
      ["split=whole,eol=lf", "split=whole,eol=cr", "split=bytes,eol=lf", "split=bytes,eol=cr"].map((axes) => `sse/x[${axes},coding=gzip]`)
    )
  })

  it("has another hash when anything in it is another", async () => {
    const { hash } = await Plan.summarize(Plan.make([some]))
    assert.strictEqual((await Plan.summarize(Plan.make([structuredClone(some)]))).hash, hash)
    assert.notStrictEqual((await Plan.summarize(Plan.make([{ ...some, expect: { ...some.expect, attempts: 2 } }]))).hash, hash)
  })

  it("is the same for every runtime: what one cannot run is on its list, as n/a", () => {
    const lists = (["node", "browser", "deno"] as const).map((runtime: Runtime) => {
      const names: Array<string> = []
      registerConformance(({ name }) => void names.push(name), { ...makeReference(), runtime }, { controlUrl: "http://127.0.0.1" })
      return names
    })
    for (const names of lists) assert.deepStrictEqual(names, [...Cases.plan.map((instance) => instance.id), "the whole plan ran"])
  })

  it("lets nothing be n/a but for a capability or a runtime", () => {
    const [instance] = Plan.make([{ ...some, needs: ["form", "retry"], runtimes: ["deno"] }])
    assert(instance !== undefined)
    const subject = { ...makeReference(), capabilities: [] }
    assert.strictEqual(Plan.notApplicable(instance, subject), "needs form, retry")
    assert.strictEqual(Plan.notApplicable(instance, { ...subject, capabilities: ["form", "retry"] }), "for deno")
    assert.isUndefined(Plan.notApplicable(instance, { ...subject, capabilities: ["form", "retry"], runtime: "deno" }))
  })
})

describe("known failures", () => {
  const plan = Plan.make([{ ...some, id: "sse/a-b", axes: { split: ["whole", "bytes"] } }])
  const entry = { pattern: "sse/a-b[split=whole]", reason: "because", until: "2030-01-31" }

  it("match an id, where * is anything and nothing else is special", () => {
    const found = (pattern: string) =>
      plan.filter((instance) => KnownFailures.find([{ ...entry, pattern }], instance, new Date(0)) !== undefined).length
    assert.strictEqual(found(entry.pattern), 1)
    assert.strictEqual(found("sse/*"), 2)
    assert.strictEqual(found("*bytes]"), 1)
    assert.strictEqual(found("sse/a.b*"), 0)
    assert.strictEqual(found("a-b"), 0)
  })

  it("hold to the end of their last day, and are a problem after it, as are those that name no case", () => {
    assert.deepStrictEqual(KnownFailures.problems([entry], plan, new Date("2030-01-31T23:59:59Z")), [])
    assert.deepStrictEqual(KnownFailures.problems([entry], plan, new Date("2030-02-01")), [
      "known failure sse/a-b[split=whole] (because) held until 2030-01-31"
    ])
    assert.deepStrictEqual(KnownFailures.problems([{ ...entry, pattern: "sse/c*" }], plan, new Date(0)), [
      "known failure sse/c* names no case"
    ])
  })
})
