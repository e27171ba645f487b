/**
 * The commands that administer the objects of a database: `keys`, `teams`, `models` and `limits`. They work on the database itself, with or without a
 * running gateway, and write JSON.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { kinds } from "../limits/LimitRule.ts"
import { actor, database, print, withStore } from "./CommandDatabase.ts"
import { type ControlError, Invalid, NotFound } from "./ControlError.ts"
import type { ControlStore } from "./ControlStore.ts"
import type { Page, PageRequest } from "./Rows.ts"

const printAll = <Item>(list: (request: PageRequest) => Effect.Effect<Page<Item>, ControlError>, request: PageRequest) =>
  Effect.gen(function* () {
    for (let after: string | undefined; ;) {
      const page: Page<Item> = yield* list({ ...request, limit: 200, after })
      for (const item of page.items) yield* print(item)
      if (page.next === null) return
      after = page.next
    }
  })

// The objects that have a name, among the pages of a search.
const named = <Item extends { readonly id: string }>(
  kind: string,
  ref: string,
  list: (request: PageRequest) => Effect.Effect<Page<Item>, ControlError>,
  isIt: (item: Item) => boolean,
  search = ref
): Effect.Effect<string, ControlError> =>
  Effect.gen(function* () {
    const found: Array<string> = []
    for (let after: string | undefined; ;) {
      const page: Page<Item> = yield* list({ search, limit: 200, after })
      found.push(...page.items.filter((item) => item.id === ref || isIt(item)).map(({ id }) => id))
      if (page.next === null) break
      after = page.next
    }
    const [id] = found
    if (id === undefined) return yield* NotFound.of(kind, ref)
    if (found.length > 1) return yield* new Invalid({ field: kind, detail: `"${ref}" names ${found.length} of them. Use the id.` })
    return id
  })

const isId = (ref: string) => /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/.test(ref)

const teamId = (store: ControlStore, ref: string): Effect.Effect<string, ControlError> =>
  isId(ref)
    ? Effect.succeed(ref)
    : named(
        "team",
        ref,
        (request) => store.teams.list(request),
        ({ name }) => name === ref
      )

const modelId = (store: ControlStore, ref: string): Effect.Effect<string, ControlError> =>
  isId(ref)
    ? Effect.succeed(ref)
    : named(
        "model",
        ref,
        (request) => store.models.list(request),
        ({ name }) => name === ref
      )

// `NAME` of a key without a team, or `TEAM/NAME`.
const keyId = (store: ControlStore, ref: string): Effect.Effect<string, ControlError> =>
  Effect.gen(function* () {
    if (isId(ref)) return ref
    const slash = ref.lastIndexOf("/")
    const team = slash === -1 ? null : yield* Effect.option(teamId(store, ref.slice(0, slash)))
    const wanted = team !== null && Option.isSome(team) ? { name: ref.slice(slash + 1), teamId: team.value } : { name: ref, teamId: null }
    return yield* named(
      "key",
      ref,
      (request) => store.keys.list(request),
      (key) => key.name === wanted.name && key.teamId === wanted.teamId,
      wanted.name
    )
  })

const search = Flag.optional(Flag.String("search").pipe(Flag.withDescription("Text in the name")))
const archived = Flag.Boolean("archived").pipe(Flag.withDefault(false), Flag.withDescription("List archived ones, too"))
const force = Flag.Boolean("force").pipe(Flag.withDefault(false), Flag.withDescription("Do it although others depend on it"))
const granted = Flag.String("model").pipe(
  Flag.withDescription("A model that may be used; several times for several. Defaults to all"),
  Flag.atLeast(0)
)
const name = Argument.String("name")

const pageOf = (flags: { readonly search: Option.Option<string>; readonly archived: boolean }): PageRequest => ({
  search: Option.getOrUndefined(flags.search),
  archived: flags.archived
})

const grantsOf = (models: ReadonlyArray<string>) => (models.length === 0 ? {} : { models })

// A command that changes one object, and prints it.
const onOne = <A, E>(
  verb: string,
  description: string,
  what: string,
  run: (store: ControlStore, ref: string) => Effect.Effect<A, E | ControlError>
) =>
  Command.make(verb, { ...database, ref: Argument.String(what) }, (flags) =>
    withStore(flags, (store) => Effect.flatMap(run(store, flags.ref), print))
  ).pipe(Command.withDescription(description))

const onKey = (verb: string, description: string, run: (store: ControlStore, id: string) => Effect.Effect<unknown, ControlError>) =>
  onOne(verb, description, "key", (store, ref) => Effect.flatMap(keyId(store, ref), (id) => run(store, id)))

/** The command `keys`. */
export const keys = Command.make("keys").pipe(
  Command.withDescription("Administer the keys of callers. A key is named by its id, NAME, or TEAM/NAME"),
  Command.withSubcommands([
    Command.make("list", { ...database, search, archived }, (flags) =>
      withStore(flags, (store) => printAll((request) => store.keys.list(request), pageOf(flags)))
    ).pipe(Command.withDescription("List keys")),
    Command.make(
      "create",
      {
        ...database,
        name,
        team: Flag.optional(Flag.String("team").pipe(Flag.withDescription("The team of the key"))),
        models: granted,
        owner: Flag.optional(Flag.String("owner").pipe(Flag.withDescription("Whom to ask about the key"))),
        expires: Flag.optional(Flag.Date("expires").pipe(Flag.withDescription("When the key ends, as 2027-01-31")))
      },
      (flags) =>
        withStore(
          flags,
          Effect.fnUntraced(function* (store) {
            const team = Option.isNone(flags.team) ? null : yield* teamId(store, flags.team.value)
            const { key, secret } = yield* store.keys.create(actor, {
              name: flags.name,
              teamId: team,
              owner: Option.getOrNull(flags.owner),
              expiresAt: Option.isNone(flags.expires) ? null : flags.expires.value.getTime(),
              ...grantsOf(flags.models)
            })
            yield* print({ secret, key })
          })
        )
    ).pipe(Command.withDescription("Make a key. Its secret is shown only here")),
    Command.make(
      "rotate",
      {
        ...database,
        ref: Argument.String("key"),
        grace: Flag.String("grace").pipe(
          Flag.withDefault("0 millis"),
          Flag.withDescription('Time for which the old secret works on, as "2 days". Defaults to none')
        )
      },
      (flags) =>
        withStore(
          flags,
          Effect.fnUntraced(function* (store) {
            const grace = Duration.fromInput(flags.grace as Duration.Input)
            if (Option.isNone(grace)) return yield* new Invalid({ field: "grace", detail: `"${flags.grace}" is not a time, as "2 days".` })
            const id = yield* keyId(store, flags.ref)
            const { key, secret } = yield* store.keys.rotate(actor, id, Duration.toMillis(grace.value))
            yield* print({ secret, key })
          })
        )
    ).pipe(Command.withDescription("Give a key a new secret, which is shown only here")),
    onKey("revoke", "End a key and its streams", (store, id) => store.keys.revoke(actor, id)),
    onKey("enable", "Switch a key on", (store, id) => store.keys.update(actor, id, { enabled: true })),
    onKey("disable", "Switch a key off, with its streams", (store, id) => store.keys.update(actor, id, { enabled: false })),
    onKey("archive", "End a key and free its name", (store, id) => store.keys.archive(actor, id))
  ])
)

const onTeam = (verb: string, description: string, run: (store: ControlStore, id: string) => Effect.Effect<unknown, ControlError>) =>
  onOne(verb, description, "team", (store, ref) => Effect.flatMap(teamId(store, ref), (id) => run(store, id)))

/** The command `teams`. */
export const teams = Command.make("teams").pipe(
  Command.withDescription("Administer teams of keys. A team is named by its id or its name"),
  Command.withSubcommands([
    Command.make("list", { ...database, search, archived }, (flags) =>
      withStore(flags, (store) => printAll((request) => store.teams.list(request), pageOf(flags)))
    ).pipe(Command.withDescription("List teams")),
    Command.make("create", { ...database, name, models: granted }, (flags) =>
      withStore(flags, (store) => Effect.flatMap(store.teams.create(actor, { name: flags.name, ...grantsOf(flags.models) }), print))
    ).pipe(Command.withDescription("Make a team")),
    onTeam("enable", "Switch a team on", (store, id) => store.teams.update(actor, id, { enabled: true })),
    onTeam("disable", "Switch a team off, with its keys", (store, id) => store.teams.update(actor, id, { enabled: false })),
    Command.make("archive", { ...database, ref: Argument.String("team"), force }, (flags) =>
      withStore(flags, (store) =>
        teamId(store, flags.ref).pipe(
          Effect.flatMap((id) => store.teams.archive(actor, id, flags.force)),
          Effect.flatMap(print)
        )
      )
    ).pipe(Command.withDescription("End a team and its keys"))
  ])
)

const onModel = (verb: string, description: string, run: (store: ControlStore, id: string) => Effect.Effect<unknown, ControlError>) =>
  onOne(verb, description, "model", (store, ref) => Effect.flatMap(modelId(store, ref), (id) => run(store, id)))

const onReplica = (verb: string, description: string, state: "on" | "draining" | "off") =>
  onOne(verb, description, "replica-id", (store, id) => store.models.updateReplica(actor, id, { state }))

/** The command `models`. */
export const models = Command.make("models").pipe(
  Command.withDescription("Administer models and their replicas. A model is named by its id or its name"),
  Command.withSubcommands([
    Command.make("list", { ...database, search, archived }, (flags) =>
      withStore(flags, (store) => printAll((request) => store.models.list(request), pageOf(flags)))
    ).pipe(Command.withDescription("List models")),
    Command.make(
      "create",
      {
        ...database,
        name,
        replicas: Flag.String("replica").pipe(
          Flag.withMetavar("URL"),
          Flag.withDescription("A model server, up to and with /v1; several times for several"),
          Flag.atLeast(1)
        ),
        remoteName: Flag.optional(Flag.String("remote-name").pipe(Flag.withDescription("The model's name there. Defaults to its name"))),
        keyEnv: Flag.optional(
          Flag.String("key-env").pipe(Flag.withDescription("Environment variable of the gateway with the key of the model servers"))
        )
      },
      (flags) =>
        withStore(
          flags,
          Effect.fnUntraced(function* (store) {
            const { NewModel } = yield* Effect.promise(() => import("./Entity.ts"))
            const replica = {
              ...(Option.isNone(flags.remoteName) ? {} : { remoteName: flags.remoteName.value }),
              ...(Option.isNone(flags.keyEnv) ? {} : { credential: { env: flags.keyEnv.value } })
            }
            const input = { name: flags.name, replicas: flags.replicas.map((baseUrl) => ({ baseUrl, ...replica })) }
            const model = yield* Effect.mapError(
              Schema.decodeUnknownEffect(NewModel)(input),
              ({ message }) => new Invalid({ field: "model", detail: message })
            )
            yield* Effect.flatMap(store.models.create(actor, model), print)
          })
        )
    ).pipe(Command.withDescription("Add a model")),
    Command.make("rename", { ...database, ref: Argument.String("model"), name }, (flags) =>
      withStore(flags, (store) =>
        modelId(store, flags.ref).pipe(
          Effect.flatMap((id) => store.models.update(actor, id, { name: flags.name })),
          Effect.flatMap(print)
        )
      )
    ).pipe(Command.withDescription("Rename a model. The name before works on")),
    onModel("enable", "Switch a model on", (store, id) => store.models.update(actor, id, { enabled: true })),
    onModel("disable", "Switch a model off", (store, id) => store.models.update(actor, id, { enabled: false })),
    onReplica("drain", "Send a replica no new requests. Its streams go on", "draining"),
    onReplica("resume", "Send a replica requests again", "on"),
    Command.make("archive", { ...database, ref: Argument.String("model"), force }, (flags) =>
      withStore(flags, (store) =>
        modelId(store, flags.ref).pipe(
          Effect.flatMap((id) => store.models.archive(actor, id, flags.force)),
          Effect.flatMap(print)
        )
      )
    ).pipe(Command.withDescription("Remove a model"))
  ])
)

/** The command `limits`. */
export const limits = Command.make("limits").pipe(
  Command.withDescription("Administer limits of keys, teams and models"),
  Command.withSubcommands([
    Command.make("list", { ...database }, (flags) =>
      withStore(flags, (store) => printAll((request) => store.limits.list(request), {}))
    ).pipe(Command.withDescription("List limits")),
    Command.make(
      "set",
      {
        ...database,
        scope: Argument.Literals("scope", ["key", "team", "model"]),
        ref: Argument.String("name"),
        kind: Argument.Literals("kind", kinds),
        amount: Argument.Int("amount"),
        at: Flag.optional(Flag.String("at").pipe(Flag.withDescription("The model that the limit is for. Defaults to all"))),
        report: Flag.Boolean("report").pipe(Flag.withDefault(false), Flag.withDescription("Only count and log"))
      },
      (flags) =>
        withStore(
          flags,
          Effect.fnUntraced(function* (store) {
            const { amount, kind, ref, scope } = flags
            if (amount < 0) return yield* new Invalid({ field: "amount", detail: "The amount is 0 or more; 0 allows nothing." })
            const scopeId = scope === "model" ? ref : yield* (scope === "key" ? keyId : teamId)(store, ref)
            const model = Option.isNone(flags.at) ? "" : yield* store.names.idOf(flags.at.value)
            const mode = flags.report ? "report" : "enforce"
            const { items } = yield* store.limits.list({ limit: 200, scopeId })
            const found = items.find((limit) => limit.scope === scope && limit.kind === kind && limit.modelId === model)
            const set =
              found === undefined
                ? store.limits.create(actor, { scope, scopeId, modelId: model, kind, amount, mode })
                : store.limits.update(actor, found.id, { amount, mode })
            yield* Effect.flatMap(set, print)
          })
        )
    ).pipe(Command.withDescription("Set a limit. Budgets are in micro-units of the currency")),
    onOne("remove", "Remove a limit", "limit-id", (store, id) => store.limits.remove(actor, id))
  ])
)
