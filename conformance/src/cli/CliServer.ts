/**
 * The command `server`: runs the server cases against a running endpoint.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as CliRun from "./CliRun.ts"
import * as FaultServer from "../fault/FaultServer.ts"
import { open as openSocket } from "../server/NodeSocket.ts"
import { Profile, ServerCapability } from "../server/ServerCase.ts"
import * as ServerCases from "../server/ServerCases.ts"
import * as ServerRunner from "../server/ServerRunner.ts"
import * as ServerSuite from "../server/ServerSuite.ts"

const positive = (flag: Flag.Flag<number>) =>
  Flag.filter(
    flag,
    (value) => value > 0,
    () => "Expected a number above 0"
  )

const capability = (name: string) => Flag.Literals(name, ServerCapability.literals).pipe(Flag.withMetavar("CAPABILITY"), Flag.atLeast(0))

const faultPath = "/runs/upstream/cases/fault"

const flags = {
  ...CliRun.flags,
  baseUrl: Flag.String("base-url").pipe(
    Flag.withMetavar("URL"),
    Flag.optional,
    Flag.withDescription("Where the endpoint is: an origin, or an address that ends in a version, as /api/v3 or /v1")
  ),
  model: Flag.String("model").pipe(Flag.withMetavar("MODEL"), Flag.optional, Flag.withDescription("The model to ask")),
  profile: Flag.Literals("profile", Profile.literals).pipe(
    Flag.withDefault("paradigm"),
    Flag.withDescription("What the server speaks as (default paradigm)")
  ),
  maxRequests: Flag.Int("max-requests").pipe(
    positive,
    Flag.withDefault(500),
    Flag.withDescription("Run nothing if it took more requests than this (default 500)")
  ),
  headers: Flag.String("header").pipe(
    Flag.withMetavar("NAME: VALUE"),
    Flag.atLeast(0),
    Flag.withDescription("Send this header with every request that does not set it itself. Never printed. May be given more than once")
  ),
  declares: capability("declare").pipe(Flag.withDescription("Something the server can do beside what its profile says")),
  lacks: capability("lack").pipe(Flag.withDescription("Something of its profile that the server cannot do")),
  forbiddenModel: Flag.String("forbidden-model").pipe(
    Flag.withMetavar("MODEL"),
    Flag.optional,
    Flag.withDescription("A model that exists and that the key may not use")
  ),
  maxBodyBytes: Flag.Int("max-body-bytes").pipe(
    positive,
    Flag.optional,
    Flag.withDescription("The largest request body that the server takes")
  ),
  metricsUrl: Flag.String("metrics-url").pipe(
    Flag.withMetavar("URL"),
    Flag.optional,
    Flag.withDescription("Where vLLM tells its metrics: shows that generation stops when a client leaves")
  ),
  faultModel: Flag.String("fault-model").pipe(
    Flag.withMetavar("MODEL"),
    Flag.optional,
    Flag.withDescription(
      `For gateways: a model whose upstream is http://127.0.0.1:PORT${faultPath}/v1, where a failing model server is played`
    )
  ),
  faultPort: Flag.Int("fault-port").pipe(Flag.withDefault(9797), Flag.withDescription("The port of that model server (default 9797)"))
}

const headersOf = Effect.fnUntraced(function* (lines: ReadonlyArray<string>) {
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9a-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)[ \t]*$/i.exec(line) ?? []
    // What was given may be a secret: it is not repeated.
    if (name === undefined || value === undefined) return yield* new CliRun.NotRun({ message: 'A --header is no "Name: value" in ASCII' })
    headers[name.toLowerCase()] = value
  }
  return headers
})

const httpUrl = (text: string, flag: string) => {
  const url = URL.parse(text)
  const fit =
    url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "" && url.search === "" && url.hash === ""
  return fit
    ? Effect.succeed(text)
    : new CliRun.NotRun({ message: `${flag} is no http or https address without user, query and fragment, as http://127.0.0.1:8080` })
}

const required = (value: Option.Option<string>, flag: string, what: string) =>
  Option.match(value, {
    onNone: () => new CliRun.NotRun({ message: `There is no ${what}: give ${flag}` }),
    onSome: (given) => Effect.succeed(given)
  })

const keyOf = Effect.fnUntraced(function* (profile: Profile, lacks: ReadonlyArray<ServerCapability>) {
  const given = yield* Config.Redacted("PARADIGM_API_KEY").pipe(
    Config.option,
    Effect.orElseSucceed(() => Option.none())
  )
  const key = Option.getOrElse(Option.map(given, Redacted.value), () => "")
  if (/[^\x21-\x7e]/.test(key))
    return yield* new CliRun.NotRun({ message: "PARADIGM_API_KEY holds what no key can: spaces, line ends, or other than ASCII" })
  if (key === "" && profile !== "vllm" && !lacks.includes("key")) {
    return yield* new CliRun.NotRun({
      message: `PARADIGM_API_KEY is not set, and ${profile} asks for a key; with --lack key, none is sent`
    })
  }
  return key === "" ? undefined : key
})

/** Sums what vLLM says of each of its engines. */
const running = (url: string) => async () => {
  const text = await (await fetch(url)).text()
  const values = [...text.matchAll(/^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? +(\S+)$/gm)].map(([, value]) => Number(value))
  if (values.length === 0) throw new Error(`${url} tells nothing of vllm:num_requests_running`)
  return values.reduce((sum, value) => sum + value, 0)
}

const faults = (port: number, model: string) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => FaultServer.start({ port }),
      catch: () => new CliRun.NotRun({ message: `Port ${port} cannot be listened on; choose another with --fault-port` })
    }),
    (server) => Effect.promise(() => server.close())
  ).pipe(Effect.map(({ controlUrl }) => ({ controlUrl, path: faultPath, model })))

/**
 * The command `server`.
 *
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "server",
  flags,
  Effect.fnUntraced(function* (options) {
    const whole =
      options.caseFiles.length === 0 ? ServerCases.plan : ServerCases.make(yield* CliRun.loadCases(options.caseFiles, ServerCases.decode))
    const selection = yield* CliRun.select(options, whole)
    const { known, plan } = selection
    if (options.list) return yield* CliRun.list(plan)
    const { declares, lacks, profile } = options
    const baseUrl = yield* Effect.flatMap(required(options.baseUrl, "--base-url", "server to test"), (url) => httpUrl(url, "--base-url"))
    const model = yield* required(options.model, "--model", "model to ask")
    const apiKey = yield* keyOf(profile, lacks)
    const headers = yield* headersOf(options.headers)
    const metricsUrl = Option.getOrUndefined(options.metricsUrl)
    if (metricsUrl !== undefined) yield* httpUrl(metricsUrl, "--metrics-url")
    const faultModel = Option.getOrUndefined(options.faultModel)
    const target = (upstream: ServerRunner.Target["upstream"]): ServerRunner.Target => ({
      name: baseUrl,
      baseUrl,
      model,
      profile,
      apiKey,
      headers,
      declares,
      lacks,
      forbiddenModel: Option.getOrUndefined(options.forbiddenModel),
      maxBodyBytes: Option.getOrUndefined(options.maxBodyBytes),
      running: metricsUrl === undefined ? undefined : running(metricsUrl),
      upstream,
      openSocket
    })
    const planned = target(faultModel === undefined ? undefined : { controlUrl: "", path: "", model: faultModel })
    const asked = plan.filter((item) => ServerRunner.notApplicable(item.case, planned) === undefined)
    // One more sees whether there is a server at all.
    const requests = asked.reduce((sum, item) => sum + ServerRunner.requests(item.case), 1)
    if (options.dryRun) {
      const more = [
        `not applicable: ${plan.length - asked.length}`,
        `requests: ${requests} of at most ${options.maxRequests}`,
        "nothing was sent"
      ]
      return yield* Console.log([...(yield* CliRun.outline(plan, known)), ...more].join("\n"))
    }
    if (requests > options.maxRequests) {
      const message = `These cases take ${requests} requests, and --max-requests is ${options.maxRequests}: raise it, or choose fewer with --filter or --shard`
      return yield* new CliRun.NotRun({ message })
    }
    const timeLimitMs = Option.getOrUndefined(Option.map(options.timeLimit, Duration.toMillis))
    yield* Effect.scoped(
      Effect.gen(function* () {
        const server = target(faultModel === undefined ? undefined : yield* faults(options.faultPort, faultModel))
        const missing = yield* Effect.promise(() => ServerRunner.probe(server, timeLimitMs))
        if (missing !== undefined) {
          return yield* new CliRun.NotRun({
            message: `${baseUrl} does not answer the most basic request, so nothing else was sent: ${missing}`
          })
        }
        const told = yield* CliRun.reporters(options)
        const environment = { known, timeLimitMs, jobs: Option.getOrUndefined(options.jobs) }
        const run = (items: ReadonlyArray<ServerCases.ServerInstance>) =>
          ServerSuite.runAll(
            items.map((item) => item.case),
            server,
            environment
          )
        yield* CliRun.run(selection, { side: "server", subject: baseUrl, kind: profile, run }, told, options)
      })
    )
  })
).pipe(
  Command.withDescription("Test a server. Its key is read from PARADIGM_API_KEY alone, and never printed"),
  Command.withExamples([
    { command: "paradigm-conformance server --base-url http://127.0.0.1:8080 --model alfred-4.2" },
    { command: "paradigm-conformance server --base-url http://127.0.0.1:8000 --model alfred --profile vllm --strict" },
    { command: "paradigm-conformance server --base-url http://127.0.0.1:8080 --model alfred-4.2 --dry-run" }
  ])
)
