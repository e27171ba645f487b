/**
 * Packs the packages, installs them in empty folders with npm, pnpm and yarn, and runs the examples of their READMEs as a user would. Also tries the
 * toolchains of `docs/guide/toolchains.md`. Needs the registry. `--only npm|pnpm|yarn|toolchains` selects parts, and can be repeated.
 */
import { execFile, execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs, promisify } from "node:util"

const { values: options } = parseArgs({ options: { only: { type: "string", multiple: true } } })
const isWanted = (part) => options.only === undefined || options.only.includes(part)

const run = promisify(execFile)
const root = fileURLToPath(new URL("../..", import.meta.url))
const names = ["core", "node", "fetch", "deno", "browser"]
const folder = mkdtempSync(join(tmpdir(), "packed-"))
const packageOf = (name) => join(root, "packages", name)
const pnpm = process.env.npm_execpath?.includes("pnpm") ? [process.env.npm_execpath] : ["npx", "--yes", "pnpm@12"]

const { version: effect } = JSON.parse(readFileSync(join(packageOf("core"), "node_modules", "effect", "package.json"), "utf8"))

const pack = () => {
  for (const name of names) {
    const manifest = JSON.parse(readFileSync(join(packageOf(name), "package.json"), "utf8"))
    const bin = join(packageOf(name), "node_modules", ".bin")
    execFileSync(manifest.scripts.build, {
      cwd: packageOf(name),
      shell: true,
      stdio: "inherit",
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}` }
    })
    execFileSync(pnpm[0], [...pnpm.slice(1), "pack", "--pack-destination", folder], { cwd: packageOf(name), stdio: "ignore" })
  }
}

const tarball = (name) => `file:${join(folder, `paradigm-effect-${name}-0.0.0.tgz`)}`

// Completes every request with its prompt.
const server = createServer((incoming, outgoing) => {
  let body = ""
  incoming.on("data", (part) => (body += part))
  incoming.on("end", () => {
    const { messages, model, stream } = JSON.parse(body)
    const head = { id: "c", created: 1, model }
    const content = messages.at(-1).content
    if (stream !== true) {
      outgoing.setHeader("content-type", "application/json")
      const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }]
      return outgoing.end(JSON.stringify({ ...head, object: "chat.completion", choices }))
    }
    outgoing.setHeader("content-type", "text/event-stream")
    for (const [delta, finish_reason] of [
      [{ role: "assistant", content }, null],
      [{}, "stop"]
    ]) {
      outgoing.write(
        `data: ${JSON.stringify({ ...head, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] })}\n\n`
      )
    }
    outgoing.end("data: [DONE]\n\n")
  })
})

const examplesOf = (name) =>
  [...readFileSync(join(packageOf(name), "README.md"), "utf8").matchAll(/^```ts\n(.*?)^```/gms)]
    .map(([, text]) => text)
    .filter((text) => !text.startsWith("// not run: "))

// An empty folder with a manifest. Each manager has its own way to say where an unpublished dependency is.
const project = (title, dependencies, more = {}) => {
  const directory = join(folder, title)
  mkdirSync(directory, { recursive: true })
  const core = { "@paradigm-effect/core": tarball("core") }
  const manifest = { private: true, type: "module", dependencies: { ...core, ...dependencies }, resolutions: core, ...more }
  writeFileSync(join(directory, "package.json"), JSON.stringify(manifest, undefined, 2))
  writeFileSync(join(directory, "pnpm-workspace.yaml"), `overrides:\n  "@paradigm-effect/core": ${tarball("core")}\n`)
  return directory
}

const install = {
  npm: ["npm", "install", "--no-audit", "--no-fund", "--legacy-peer-deps=false"],
  pnpm: [...pnpm, "install", "--ignore-scripts"],
  yarn: ["npx", "--yes", "yarn@1.22.22", "install", "--ignore-scripts", "--no-lockfile", "--ignore-engines"]
}

let failures = 0
const check = async (title, work) => {
  try {
    const result = await work()
    console.log(`ok    ${title}${result === undefined ? "" : `: ${result}`}`)
  } catch (error) {
    failures++
    console.error(`FAIL  ${title}\n${error.stdout ?? ""}${error.stderr ?? error.stack}`)
  }
}

const start = async (directory, [command, ...args], env) => {
  const { stdout } = await run(command, args, { cwd: directory, env, timeout: 300_000 })
  return stdout.trim()
}

const expectText = async (directory, command, env) => {
  const text = await start(directory, command, env)
  if (!text.includes("Say hello")) throw new Error(`printed ${JSON.stringify(text)}`)
}

const runtimes = {
  node: (file) => [process.execPath, "--disable-warning=ExperimentalWarning", file],
  fetch: (file) => [join(packageOf("fetch"), "node_modules", ".bin", "bun"), file],
  deno: (file) => [
    join(packageOf("deno"), "node_modules", ".bin", "deno"),
    "run",
    "--node-modules-dir=manual",
    "--no-prompt",
    "--allow-net=127.0.0.1",
    "--allow-env",
    file
  ]
}

const tryManager = async (manager, env) => {
  const directory = project(manager, {
    ...Object.fromEntries(names.slice(1).map((name) => [`@paradigm-effect/${name}`, tarball(name)])),
    effect
  })
  await check(`${manager} installs the packages`, async () => void (await start(directory, install[manager], env)))
  for (const [name, commandOf] of Object.entries(runtimes)) {
    for (const [i, example] of examplesOf(name).entries()) {
      const file = join(directory, `${name}-${i + 1}.ts`)
      writeFileSync(file, example)
      await check(`${manager}: README of ${name}, example ${i + 1}`, () => expectText(directory, commandOf(file), env))
    }
  }
}

const imported = `import { Paradigm } from "@paradigm-effect/node/promise"
export const ask = async (): Promise<string> => {
  const paradigm = Paradigm.connect()
  const { choices } = await paradigm.chat.completions.create({ model: "m", messages: [{ role: "user", content: "Say hello" }] })
  await paradigm.close()
  return choices[0]?.message.content ?? ""
}
`
const jestTest = (path) => `const { ask } = require("${path}")
test("asks", async () => expect(await ask()).toBe("Say hello"))
`
const compilerOptions = {
  target: "es2023",
  module: "nodenext",
  moduleResolution: "nodenext",
  strict: true,
  skipLibCheck: true,
  types: ["node"]
}

const toolchains = [
  {
    title: "tsx, as a module",
    dependencies: { tsx: "4" },
    files: { "main.ts": `${imported}console.log(await ask())\n` },
    command: ["node_modules/.bin/tsx", "main.ts"]
  },
  {
    title: "tsx, as CommonJS",
    dependencies: { tsx: "4" },
    more: { type: "commonjs" },
    files: { "main.ts": `${imported}void ask().then(console.log)\n` },
    command: ["node_modules/.bin/tsx", "main.ts"]
  },
  {
    title: "ts-node, as CommonJS",
    dependencies: { "ts-node": "10", typescript: "5.9.3", "@types/node": "24" },
    more: { type: "commonjs" },
    files: { "main.ts": `${imported}void ask().then(console.log)\n`, "tsconfig.json": JSON.stringify({ compilerOptions }) },
    command: ["node_modules/.bin/ts-node", "main.ts"]
  },
  {
    title: "Jest with modules of Node",
    dependencies: { jest: "30" },
    files: {
      "ask.js": imported.replace(": Promise<string>", ""),
      "ask.test.js": jestTest("./ask.js").replace('const { ask } = require("./ask.js")', 'import { ask } from "./ask.js"'),
      "jest.config.js": "export default { transform: {} }\n"
    },
    env: { NODE_OPTIONS: "--experimental-vm-modules" },
    command: ["node_modules/.bin/jest"],
    isTest: true
  },
  {
    title: "Jest with babel-jest",
    dependencies: { jest: "30", "@babel/preset-env": "7" },
    more: { type: "commonjs" },
    files: {
      "ask.js": imported.replace(": Promise<string>", ""),
      "ask.test.js": jestTest("./ask.js"),
      "babel.config.js": 'module.exports = { presets: [["@babel/preset-env", { targets: { node: "current" } }]] }\n',
      "jest.config.js": 'module.exports = { transformIgnorePatterns: ["/node_modules/(?!(.pnpm/)?@paradigm-effect)"] }\n'
    },
    command: ["node_modules/.bin/jest"],
    isTest: true
  }
]

const tryToolchain = async ({ command, dependencies, env: own, files, isTest, more, title }, env) => {
  const directory = project(title.replaceAll(/\W+/g, "-"), { "@paradigm-effect/node": tarball("node"), ...dependencies }, more)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  await check(title, async () => {
    await start(directory, install.npm, env)
    const all = { ...env, ...own }
    await (isTest === true ? start(directory, command, all) : expectText(directory, command, all))
  })
}

pack()
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
const env = { ...process.env, PARADIGM_API_KEY: "sk-0123456789abcdef", PARADIGM_BASE_URL: `http://127.0.0.1:${server.address().port}` }
try {
  for (const manager of Object.keys(install)) if (isWanted(manager)) await tryManager(manager, env)
  if (isWanted("toolchains")) for (const toolchain of toolchains) await tryToolchain(toolchain, env)
} finally {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = failures === 0 ? 0 : 1
