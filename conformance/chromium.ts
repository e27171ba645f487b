/**
 * Finds a Chromium for the browser's tests: the one named by `CHROMIUM_PATH`, the system's, or else the one that npm's
 * `@sparticuz/chromium` carries (Linux x64), unpacked once below `node_modules/.cache`.
 */
import { execFileSync } from "node:child_process"
import { createReadStream, createWriteStream, existsSync, readFileSync } from "node:fs"
import { mkdir, readFile, rename, rm } from "node:fs/promises"
import { delimiter, dirname, join } from "node:path"
import { pipeline } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import { brotliDecompressSync, createBrotliDecompress } from "node:zlib"

/**
 * How to start a Chromium: in the shape of Playwright's `launchOptions`.
 */
export interface Chromium {
  readonly executablePath: string
  readonly args: ReadonlyArray<string>
  readonly env: Record<string, string>
}

const here = dirname(fileURLToPath(import.meta.url))

const environment = (): Record<string, string> =>
  Object.fromEntries(Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))

// Chromium refuses to start its sandbox as root. Nothing else is switched off: the suite needs the browser's own rules, CORS above all.
const args = process.getuid?.() === 0 ? ["--no-sandbox"] : []

const starts = (executablePath: string, env: Record<string, string>) => {
  try {
    execFileSync(executablePath, ["--headless", ...args, "--version"], { env, stdio: "ignore", timeout: 20_000 })
    return true
  } catch {
    return false
  }
}

const unpack = async (packageDir: string, target: string) => {
  const partial = `${target}.${process.pid}`
  await rm(partial, { recursive: true, force: true })
  await mkdir(partial, { recursive: true })
  const source = (name: string) => join(packageDir, "bin", name)
  const executable = createWriteStream(join(partial, "chromium"), { mode: 0o755 })
  await pipeline(createReadStream(source("chromium.br")), createBrotliDecompress(), executable)
  for (const [name, directory] of [
    ["al2023", "al2023"],
    ["fonts", "fonts"],
    ["swiftshader", "."]
  ] as const) {
    const into = join(partial, directory)
    await mkdir(into, { recursive: true })
    execFileSync("tar", ["-x", "-C", into], { input: brotliDecompressSync(readFileSync(source(`${name}.tar.br`))) })
  }
  // Whoever comes second finds the directory in place: both copies are the same.
  await rename(partial, target).catch(() => rm(partial, { recursive: true, force: true }))
}

const fromPackage = async (): Promise<Chromium> => {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(
      `No Chromium found. Install one, or set CHROMIUM_PATH to its executable (${process.platform} ${process.arch} has no bundled one).`
    )
  }
  const packageDir = dirname(dirname(fileURLToPath(import.meta.resolve("@sparticuz/chromium"))))
  const { version } = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8")) as { readonly version: string }
  const target = join(here, "node_modules", ".cache", `chromium-${version}`)
  if (!existsSync(target)) await unpack(packageDir, target)
  const executablePath = join(target, "chromium")
  const own = environment()
  // The libraries beside it are for machines that lack them: the machine's own come first.
  const env = {
    ...own,
    // With the fonts beside it alone, it ends when it paints a text field.
    FONTCONFIG_PATH: own["FONTCONFIG_PATH"] ?? (existsSync("/etc/fonts/fonts.conf") ? "/etc/fonts" : join(target, "fonts")),
    LD_LIBRARY_PATH: [own["LD_LIBRARY_PATH"], join(target, "al2023", "lib")]
      .filter((path) => path !== undefined && path !== "")
      .join(delimiter)
  }
  if (!starts(executablePath, env)) {
    throw new Error(`The Chromium in ${target} does not start. Install one, or set CHROMIUM_PATH to its executable.`)
  }
  return { executablePath, args, env }
}

/**
 * A Chromium that starts on this machine. Rejects, saying what to install, when there is none.
 */
export const find = async (): Promise<Chromium> => {
  const wanted = process.env["CHROMIUM_PATH"]
  if (wanted !== undefined && wanted !== "") {
    if (!existsSync(wanted)) throw new Error(`CHROMIUM_PATH is ${wanted}, where there is no file.`)
    return { executablePath: wanted, args, env: environment() }
  }
  const system = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find((path) => existsSync(path))
  return system === undefined ? fromPackage() : { executablePath: system, args, env: environment() }
}
