/** The command as a program on Node, for the tests that start it as one. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { createServer } from "node:http"
import * as SimulatorCommand from "@paradigm-effect/simulator/SimulatorCommand"

SimulatorCommand.command((options) => NodeHttpServer.layerServer(createServer, { ...options, gracefulShutdownTimeout: "1 second" })).pipe(
  Command.run({ version: "0.0.0" }),
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
