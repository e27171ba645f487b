#!/usr/bin/env node
/**
 * The binary `paradigm-simulator`. It ends with 0 when it is told to stop.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import packageJson from "../package.json" with { type: "json" }
import * as SimulatorCommand from "./SimulatorCommand.ts"

Command.run(SimulatorCommand.command, { version: packageJson.version }).pipe(
  Effect.tapCause((cause) => {
    const error = Cause.squash(cause)
    // The command line has already written what it says of its own arguments.
    if (Cause.hasInterruptsOnly(cause) || CliError.isCliError(error)) return Effect.void
    return Console.error(error instanceof Error ? error.message : String(error))
  }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? 0 : 1)
  })
)
