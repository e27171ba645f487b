export * as Simulator from "./Simulator.ts"
export * as SimulatorConfig from "./SimulatorConfig.ts"
