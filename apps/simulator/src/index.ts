export * as RecordedExchange from "./RecordedExchange.ts"
export * as Recorder from "./Recorder.ts"
export * as Simulator from "./Simulator.ts"
export * as SimulatorConfig from "./SimulatorConfig.ts"
