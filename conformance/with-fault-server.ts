/**
 * Starts the fault server, runs a command with its address, and stops both: `node with-fault-server.ts COMMAND ARGUMENT…`, where
 * `{controlUrl}` in an argument is the address, and `{hosts}` the list of hosts that a client under test has to reach.
 */
import { spawn } from "node:child_process"
import * as FaultServer from "./src/fault/FaultServer.ts"

const [command, ...template] = process.argv.slice(2)
if (command === undefined) {
  console.error("usage: node with-fault-server.ts COMMAND ARGUMENT...")
  process.exit(2)
}

const server = await FaultServer.start()
const { ca: _, denied: __, ask: ___, close: ____, ...origins } = server
// The name by which the proxy knows an origin is asked for by the client, too.
const hosts = [...Object.values(origins).map((url) => new URL(url).host), "upstream.invalid"].join(",")
const args = template.map((argument) => argument.replaceAll("{controlUrl}", server.controlUrl).replaceAll("{hosts}", hosts))

// A group of its own: what npm installs as a command is often a wrapper, and ending that alone would leave the real one behind.
const child = spawn(command, args, { stdio: "inherit", detached: true })
const end = (signal: NodeJS.Signals) => {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal)
  } catch {
    // It has ended by itself.
  }
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => end(signal))
child.on("error", (error) => {
  console.error(`Could not start ${command}: ${error.message}`)
  process.exitCode = 127
  void server.close()
})
child.on("exit", (code) => {
  end("SIGKILL")
  process.exitCode = code ?? 1
  void server.close()
})
