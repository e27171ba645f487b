/**
 * A `globalSetup` of vitest: starts the fault server before the tests, hands its address to `Vitest`, and stops it after them.
 *
 * @since 0.1.0
 */
import type { TestProject } from "vitest/node"
import * as FaultServer from "../fault/FaultServer.ts"

/**
 * What vitest calls.
 *
 * @category setup
 * @since 0.1.0
 */
export default async (project: TestProject): Promise<() => Promise<void>> => {
  const server = await FaultServer.start()
  project.provide("conformanceControlUrl", server.controlUrl)
  return server.close
}
