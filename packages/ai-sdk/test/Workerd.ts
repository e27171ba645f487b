// Starts workerd, the runtime of Cloudflare Workers, with a module of this folder.
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"

const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (modules = [(name = "worker", esModule = embed "worker.js")], compatibilityDate = "2025-06-01")),
    (name = "internet", network = (allow = ["private"]))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
`

/** The executable. The command of the package is a script, which passes no signals on. */
const binary = (): string => {
  const { resolve } = createRequire(createRequire(import.meta.url).resolve("workerd"))
  return resolve(`@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : process.arch}/bin/workerd`)
}

export interface RunningWorker extends AsyncDisposable {
  readonly url: string
}

/** Bundles a module and serves it. */
export const startWorker = async (entry: string): Promise<RunningWorker> => {
  const cwd = await mkdtemp(join(tmpdir(), "workerd-"))
  const entryPoint = fileURLToPath(new URL(entry, import.meta.url))
  await build({
    entryPoints: [entryPoint],
    outfile: join(cwd, "worker.js"),
    bundle: true,
    format: "esm",
    target: "es2023",
    logLevel: "error"
  })
  await writeFile(join(cwd, "config.capnp"), config)
  const child = spawn(binary(), ["serve", "config.capnp", "--control-fd=3"], { cwd, stdio: ["ignore", "inherit", "inherit", "pipe"] })
  const exit = once(child, "exit")
  const stop = async () => {
    child.kill()
    await exit
    await rm(cwd, { recursive: true, force: true })
  }
  for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
    const { event, port } = JSON.parse(line) as { readonly event: string; readonly port?: number }
    if (event === "listen") return { url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: stop }
  }
  await stop()
  throw new Error("workerd did not start")
}
