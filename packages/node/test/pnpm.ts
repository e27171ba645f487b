// pnpm, as tests of packed packages use it.
import { execFile } from "node:child_process"
import { promisify } from "node:util"

const run = promisify(execFile)
// The pnpm that runs the test: npx would ask the registry for one, which takes minutes when it is slow.
const runner = process.env["npm_execpath"]
const [command = "", ...prefix] = runner?.includes("pnpm") === true ? [runner] : ["npx", "--yes", "--prefer-offline", "pnpm@12"]

/** Runs pnpm in a folder. */
export const pnpm = (cwd: string, ...args: ReadonlyArray<string>) => run(command, [...prefix, ...args], { cwd })

/** Installs a project from the packages that this workspace has installed, as far as it has them. */
export const install = (project: string) => pnpm(project, "install", "--prefer-offline", "--ignore-scripts")
