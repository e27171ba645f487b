// Starts workerd, the runtime of Cloudflare Workers, with a module.
import { build } from "esbuild"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"

const config = (bindings: Readonly<Record<string, string>>) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker", esModule = embed "worker.js")],
      compatibilityDate = "2025-05-05",
      globalOutbound = "internet",
      bindings = [${Object.entries(bindings)
        .map(([name, text]) => `(name = ${JSON.stringify(name)}, text = ${JSON.stringify(text)})`)
        .join(", ")}]
    )),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true)))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]
);
`

/** Bundles a Worker and serves it. Disposing ends it. */
export const start = async (entry: string, bindings: Readonly<Record<string, string>> = {}) => {
  const directory = await mkdtemp(join(tmpdir(), "workerd-"))
  const outfile = join(directory, "worker.js")
  await build({ entryPoints: [entry], outfile, bundle: true, format: "esm", target: "es2023", conditions: ["workerd"], logLevel: "error" })
  await writeFile(join(directory, "config.capnp"), config(bindings))
  // The command of npm is a wrapper, which does not pass signals on.
  const packages = createRequire(createRequire(import.meta.url).resolve("workerd"))
  const platform = `@cloudflare/workerd-${process.platform}-${process.arch === "x64" ? "64" : "arm64"}`
  const binary = join(dirname(packages.resolve(`${platform}/package.json`)), "bin", "workerd")
  const child = spawn(binary, ["serve", "config.capnp", "--control-fd=3"], {
    cwd: directory,
    stdio: ["ignore", "inherit", "inherit", "pipe"]
  })
  const exit = once(child, "exit")
  const listening = async () => {
    for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
      const event = JSON.parse(line) as { readonly event: string; readonly port?: number }
      if (event.event === "listen" && event.port !== undefined) return event.port
    }
    throw new Error("workerd ended before it listened")
  }
  return {
    url: `http://127.0.0.1:${await listening()}`,
    [Symbol.asyncDispose]: async () => {
      child.kill()
      await exit
      await rm(directory, { recursive: true, force: true })
    }
  }
}
