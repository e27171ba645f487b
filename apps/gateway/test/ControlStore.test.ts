import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import type { Actor } from "../src/control/Changes.ts"
import { ControlStore } from "../src/control/ControlStore.ts"
import { digestOf, isWellFormed, makeKeyText } from "../src/control/KeyText.ts"
import { migrate } from "../src/control/Migrations.ts"
import { databases, fresh } from "./Databases.ts"

const actor: Actor = { id: "a1", name: "root", via: "api", address: "127.0.0.1" }
const start = Date.UTC(2026, 0, 31)
const day = 86_400_000

// The digests that are valid now or later.
const digests = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{
    digest: Uint8Array
  }>`SELECT digest FROM key_secret WHERE valid_until IS NULL OR valid_until > ${yield* Clock.currentTimeMillis}`
  return rows.map(({ digest }) => Buffer.from(digest).toString("hex"))
})

describe.each(databases)("the control store in $name", (database) => {
  const test = (title: string, run: (store: ControlStore) => Effect.Effect<void, unknown, SqlClient.SqlClient>) =>
    it.effect(title, () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(start)
        const layer = yield* Effect.promise(() => fresh(database))
        yield* Effect.gen(function* () {
          yield* migrate()
          yield* run(
            yield* ControlStore.make(
              new Map([
                ["filed", "filed"],
                ["filed-alias", "filed"]
              ])
            )
          )
        }).pipe(Effect.provide(layer))
      })
    )

  test("makes a key whose secret only its digest keeps", (store) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { key, secret } = yield* store.keys.create(actor, { name: "one" })
      assert.isTrue(isWellFormed(secret ?? ""))
      assert.deepInclude(key, { name: "one", enabled: true, allModels: true, models: [], createdBy: "root", createdAt: start, version: 1 })
      assert.deepStrictEqual(key.secrets, [{ start: (secret ?? "").slice(0, 10), createdAt: start, validUntil: null }])
      assert.deepStrictEqual(yield* digests, [digestOf(secret ?? "").toString("hex")])
      for (const table of ["key", "key_secret", "audit", "change", "idempotency"]) {
        const rows = yield* sql`SELECT * FROM ${sql(table)}`
        assert.notInclude(
          JSON.stringify(rows, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
          secret ?? ""
        )
      }
    }))

  test("takes the digest of a secret that exists, once", (store) =>
    Effect.gen(function* () {
      const digest = digestOf("sk-from-elsewhere").toString("hex")
      const made = yield* store.keys.create(actor, { name: "old", digest })
      assert.isNull(made.secret)
      assert.deepStrictEqual(yield* digests, [digest])
      assert.strictEqual((yield* Effect.flip(store.keys.create(actor, { name: "other", digest })))._tag, "Conflict")
      assert.lengthOf((yield* store.keys.list()).items, 1)
    }))

  test("rotates a key with a time of grace", (store) =>
    Effect.gen(function* () {
      const { key } = yield* store.keys.create(actor, { name: "one" })
      const rotated = yield* store.keys.rotate(actor, key.id, 2 * day)
      assert.strictEqual(rotated.key.id, key.id)
      assert.sameMembers(
        rotated.key.secrets.map(({ validUntil }) => validUntil),
        [start + 2 * day, null]
      )
      assert.lengthOf(yield* digests, 2)
      yield* TestClock.setTime(start + 2 * day)
      assert.lengthOf(yield* digests, 1)
      // A second rotation without grace ends the one before at once, and does not lengthen the first one's grace.
      yield* store.keys.rotate(actor, key.id)
      assert.lengthOf(yield* digests, 1)
      assert.strictEqual((yield* Effect.flip(store.keys.rotate(actor, key.id, 31 * day)))._tag, "Invalid")
    }))

  test("answers a repeated request with the same key, without its secret", (store) =>
    Effect.gen(function* () {
      const first = yield* store.keys.create(actor, { name: "one" }, "id-1")
      const second = yield* store.keys.create(actor, { name: "one" }, "id-1")
      assert.strictEqual(second.key.id, first.key.id)
      assert.isNull(second.secret)
      assert.strictEqual((yield* Effect.flip(store.keys.create(actor, { name: "two" }, "id-1")))._tag, "Conflict")
      const rotated = yield* store.keys.rotate(actor, first.key.id, 0, "id-2")
      assert.isNull((yield* store.keys.rotate(actor, first.key.id, 0, "id-2")).secret)
      assert.isNotNull(rotated.secret)
      assert.lengthOf(yield* digests, 1)
      assert.lengthOf((yield* store.audit.list()).items, 2)
      yield* TestClock.setTime(start + day)
      assert.strictEqual((yield* Effect.flip(store.keys.create(actor, { name: "one" }, "id-1")))._tag, "Conflict", "the name is taken")
    }))

  test("revokes, archives and patches keys, and refuses a version that is not the newest", (store) =>
    Effect.gen(function* () {
      const { key } = yield* store.keys.create(actor, { name: "one", metadata: { cost: 7 } })
      const patched = yield* store.keys.update(actor, key.id, { enabled: false, owner: "somebody", expiresAt: start + 1 }, 1)
      assert.deepInclude(patched, { enabled: false, owner: "somebody", expiresAt: start + 1, version: 2, metadata: { cost: 7 } })
      assert.deepInclude(yield* Effect.flip(store.keys.update(actor, key.id, { enabled: true }, 1)), {
        _tag: "VersionMismatch",
        version: 2
      })
      assert.strictEqual((yield* store.keys.revoke(actor, key.id)).revokedAt, start)
      assert.strictEqual((yield* store.keys.archive(actor, key.id)).archivedAt, start)
      assert.strictEqual((yield* Effect.flip(store.keys.rotate(actor, key.id)))._tag, "NotFound")
      assert.lengthOf((yield* store.keys.list()).items, 0)
      assert.lengthOf((yield* store.keys.list({ archived: true })).items, 1)
      // The name of an archived key is free again.
      yield* store.keys.create(actor, { name: "one" })
    }))

  test("lists in pages, and searches without meaning for % and _", (store) =>
    Effect.gen(function* () {
      for (let i = 0; i < 7; i++) yield* store.keys.create(actor, { name: i === 3 ? "100%_Sure" : `key ${i}` })
      const first = yield* store.keys.list({ limit: 3 })
      const second = yield* store.keys.list({ limit: 3, after: first.next ?? "" })
      const third = yield* store.keys.list({ limit: 3, after: second.next ?? "" })
      assert.deepStrictEqual(
        [first, second, third].map(({ items, next }) => [items.length, next === null]),
        [
          [3, false],
          [3, false],
          [1, true]
        ]
      )
      assert.strictEqual(new Set([first, second, third].flatMap(({ items }) => items.map(({ id }) => id))).size, 7)
      assert.lengthOf((yield* store.keys.list({ search: "%_s" })).items, 1)
      assert.lengthOf((yield* store.keys.list({ search: "KEY" })).items, 6)
      assert.lengthOf((yield* store.keys.list({ limit: 100_000 })).items, 7)
    }))

  test("shows the administrator of a team that team alone", (store) =>
    Effect.gen(function* () {
      const [a, b] = [yield* store.teams.create(actor, { name: "A" }), yield* store.teams.create(actor, { name: "B" })]
      const { key } = yield* store.keys.create(actor, { name: "of b", teamId: b.id })
      const limit = yield* store.limits.create(actor, { scope: "key", scopeId: key.id, kind: "requests_per_minute", amount: 1 })
      assert.lengthOf((yield* store.keys.list({}, a.id)).items, 0)
      assert.lengthOf((yield* store.teams.list({}, a.id)).items, 1)
      assert.lengthOf((yield* store.limits.list({}, a.id)).items, 0)
      assert.lengthOf((yield* store.limits.list({}, b.id)).items, 1)
      for (const refused of [
        store.keys.get(key.id, a.id),
        store.keys.update(actor, key.id, { name: "x" }, undefined, a.id),
        store.keys.rotate(actor, key.id, 0, undefined, a.id),
        store.keys.revoke(actor, key.id, a.id),
        store.keys.archive(actor, key.id, a.id),
        store.teams.get(b.id, a.id),
        store.limits.get(limit.id, a.id)
      ]) {
        assert.strictEqual((yield* Effect.flip(refused as Effect.Effect<unknown, { readonly _tag: string }>))._tag, "NotFound")
      }
      assert.strictEqual((yield* store.keys.get(key.id, b.id)).name, "of b")
    }))

  test("gives models to keys and teams by name, also those of the configuration file", (store) =>
    Effect.gen(function* () {
      const model = yield* store.models.create(actor, { name: "alfred", aliases: ["al"], replicas: [{ baseUrl: "http://10.0.0.1/v1" }] })
      assert.deepInclude(model, { name: "alfred", aliases: ["al"], enabled: true })
      assert.deepInclude(model.replicas[0], { remoteName: "alfred", weight: 1, state: "on", credential: null })
      const { key } = yield* store.keys.create(actor, { name: "k", models: ["al", "alfred", "filed-alias"] })
      assert.sameMembers([...key.models], ["alfred", "filed"])
      assert.isFalse(key.allModels)
      assert.deepInclude(yield* Effect.flip(store.keys.create(actor, { name: "x", models: ["nobody"] })), {
        _tag: "Invalid",
        field: "models"
      })
      assert.deepInclude(yield* Effect.flip(store.models.archive(actor, model.id)), { _tag: "InUse", dependents: { keys: 1, teams: 0 } })
      yield* store.models.archive(actor, model.id, true)
      assert.strictEqual((yield* Effect.flip(store.keys.create(actor, { name: "y", models: ["alfred"] })))._tag, "Invalid")
    }))

  test("keeps a renamed model's old name, and a freed name for 90 days", (store) =>
    Effect.gen(function* () {
      const model = yield* store.models.create(actor, { name: "one" })
      const renamed = yield* store.models.update(actor, model.id, { name: "two" })
      assert.deepInclude(renamed, { name: "two", formerNames: ["one"] })
      assert.strictEqual((yield* Effect.flip(store.models.create(actor, { name: "one" })))._tag, "Conflict")
      yield* store.models.update(actor, model.id, { formerNames: [] })
      assert.match((yield* Effect.flip(store.models.create(actor, { name: "one" }))).message, /90 days/)
      yield* TestClock.setTime(start + 91 * day)
      yield* store.models.create(actor, { name: "one" })
      assert.match((yield* Effect.flip(store.models.create(actor, { name: "filed" }))).message, /configuration file/)
      assert.lengthOf((yield* store.models.list()).items, 2, "a refused model leaves nothing behind")
    }))

  test("asks for the credential again when the URL of a replica changes", (store) =>
    Effect.gen(function* () {
      const model = yield* store.models.create(actor, { name: "m" })
      const replica = yield* store.models.addReplica(actor, model.id, { baseUrl: "http://10.0.0.1/v1", credential: { env: "KEY" } })
      const moved = { baseUrl: "http://10.0.0.2/v1" }
      assert.deepInclude(yield* Effect.flip(store.models.updateReplica(actor, replica.id, moved)), { _tag: "Invalid", field: "credential" })
      assert.deepInclude(
        yield* store.models.updateReplica(actor, replica.id, { ...moved, credential: { env: "KEY" }, state: "draining" }),
        {
          ...moved,
          state: "draining",
          version: 2
        }
      )
      assert.strictEqual((yield* Effect.flip(store.models.addReplica(actor, model.id, moved)))._tag, "Conflict")
      yield* store.models.removeReplica(actor, replica.id)
      assert.lengthOf((yield* store.models.get(model.id)).replicas, 0)
    }))

  test("keeps limits and prices, of which the past does not change", (store) =>
    Effect.gen(function* () {
      const model = yield* store.models.create(actor, { name: "m" })
      const limit = yield* store.limits.create(actor, { scope: "model", scopeId: "m", kind: "tokens_per_minute", amount: 0 })
      assert.deepInclude(limit, { scopeId: model.id, modelId: "", amount: 0, mode: "enforce" })
      assert.deepInclude(yield* store.limits.update(actor, limit.id, { mode: "report" }), { mode: "report", version: 2 })
      assert.strictEqual(
        (yield* Effect.flip(store.limits.create(actor, { scope: "model", scopeId: "m", kind: "tokens_per_minute", amount: 1 })))._tag,
        "Conflict"
      )
      assert.strictEqual(
        (yield* Effect.flip(store.limits.create(actor, { scope: "key", scopeId: "x", kind: "tokens_per_day", amount: 1 })))._tag,
        "Invalid"
      )
      const price = { modelId: "m", validFrom: start, input: 3, cached: 1, output: 15 }
      yield* store.limits.setPrice(actor, price)
      assert.strictEqual((yield* Effect.flip(store.limits.setPrice(actor, { ...price, input: 4 })))._tag, "Invalid")
      yield* store.limits.setPrice(actor, { ...price, validFrom: start + day, input: 4 })
      assert.deepStrictEqual(
        (yield* store.limits.prices("m")).map(({ input }) => input),
        [4, 3]
      )
      yield* store.limits.remove(actor, limit.id)
      assert.lengthOf((yield* store.limits.list()).items, 0)
    }))

  test("archives a team with keys only by force", (store) =>
    Effect.gen(function* () {
      const team = yield* store.teams.create(actor, { name: "Team" })
      yield* store.keys.create(actor, { name: "k", teamId: team.id })
      assert.deepInclude(yield* Effect.flip(store.teams.archive(actor, team.id)), { _tag: "InUse", dependents: { keys: 1 } })
      assert.strictEqual((yield* Effect.flip(store.teams.create(actor, { name: "TEAM" })))._tag, "Conflict")
      yield* store.teams.archive(actor, team.id, true)
      assert.strictEqual((yield* Effect.flip(store.keys.create(actor, { name: "l", teamId: team.id })))._tag, "Invalid")
    }))

  test("records what changed, and nothing of a change that failed", (store) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { key } = yield* store.keys.create(actor, { name: "k" })
      const team = yield* store.teams.create(actor, { name: "t" })
      yield* Effect.flip(store.teams.create(actor, { name: "t" }))
      assert.deepStrictEqual(yield* sql`SELECT n, entity, entity_id FROM change ORDER BY n`, [
        { n: 1n, entity: "key", entity_id: key.id },
        { n: 2n, entity: "team", entity_id: team.id }
      ])
      assert.deepStrictEqual(yield* sql`SELECT n FROM revision`, [{ n: 2n }])
    }))

  test("writes one audit entry for each change, in a chain that shows a forgery", (store) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { key } = yield* store.keys.create(actor, { name: "k" })
      yield* store.keys.update(actor, key.id, { name: "l" })
      yield* Effect.flip(store.keys.update(actor, "nobody", { name: "l" }))
      const { items } = yield* store.audit.list()
      assert.deepStrictEqual(
        items.map(({ action, actor, address, at, entityId, seq, via }) => [seq, at, actor, via, address, action, entityId]),
        [
          [2, start, "root", "api", "127.0.0.1", "update", key.id],
          [1, start, "root", "api", "127.0.0.1", "create", key.id]
        ]
      )
      assert.isUndefined(yield* store.audit.broken)
      yield* sql.onDialectOrElse({
        pg: () => sql`ALTER TABLE audit DISABLE TRIGGER audit_change`,
        orElse: () => sql`DROP TRIGGER audit_update`
      })
      yield* sql`UPDATE audit SET actor = 'nobody' WHERE seq = 1`
      assert.strictEqual(yield* store.audit.broken, 1)
    }))

  test("orders changes that come at once", (store) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* Effect.forEach(Array.from({ length: 20 }), (_, i) => store.keys.create(actor, { name: `k${i}` }), { concurrency: 8 })
      assert.deepStrictEqual(yield* sql`SELECT COUNT(DISTINCT n) AS count, MAX(n) AS last FROM change`, [{ count: 20n, last: 20n }])
      assert.isUndefined(yield* store.audit.broken)
    }))
})

describe("the text of a key", () => {
  it("has a checksum that shows a slip", () => {
    const text = makeKeyText("pdk_")
    assert.match(text, /^pdk_[0-9A-Za-z]{38}$/)
    assert.isTrue(isWellFormed(text))
    assert.isFalse(isWellFormed(text.slice(0, 20) + (text[20] === "a" ? "b" : "a") + text.slice(21)))
    assert.isFalse(isWellFormed(text.slice(1, -1)) && text.startsWith("pdk_x"))
    assert.isTrue(isWellFormed("sk-from-elsewhere"))
  })
})
