#!/usr/bin/env node
/**
 * The binary `paradigm`.
 */
import * as GatewayCommand from "@paradigm-effect/gateway/GatewayCommand"
import * as SimulatorCommand from "@paradigm-effect/simulator/SimulatorCommand"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import packageJson from "../package.json" with { type: "json" }
import * as Chat from "./Chat.ts"
import * as Demo from "./Demo.ts"
import { errorLine } from "./ErrorLine.ts"

const paradigm = Command.make("paradigm").pipe(
  Command.withDescription("Chat completions of a LightOn Paradigm endpoint: ask one, or be one"),
  Command.withSubcommands([Chat.command, GatewayCommand.command, GatewayCommand.key, SimulatorCommand.command, Demo.command])
)

const report = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>) {
  const error = Cause.squash(cause)
  // The command line has already written what it says of its own arguments.
  if (Cause.hasInterruptsOnly(cause) || CliError.isCliError(error)) return
  yield* Console.error(Chat.printable(errorLine(error)))
  if (yield* Config.Boolean("PARADIGM_DEBUG").pipe(Config.withDefault(false))) yield* Console.error(Cause.pretty(cause))
})

Command.run(paradigm, { version: packageJson.version }).pipe(
  Effect.tapCause(report),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
