#!/usr/bin/env node
/**
 * The binary `paradigm-gateway`: the gateway alone, bundled without dependencies.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import packageJson from "../package.json" with { type: "json" }
import * as GatewayCommand from "./GatewayCommand.ts"

const report = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>) {
  const error = Cause.squash(cause)
  // The command line has already written what it says of its own arguments.
  if (Cause.hasInterruptsOnly(cause) || CliError.isCliError(error)) return
  const isKnown = typeof error === "object" && error !== null && "_tag" in error && error instanceof Error
  yield* Console.error(isKnown ? error.message : "Unexpected error.")
})

Command.run(GatewayCommand.command, {
  version: packageJson.version
}).pipe(Effect.tapCause(report), Effect.provide(NodeServices.layer), NodeRuntime.runMain({ disableErrorReporting: true }))
