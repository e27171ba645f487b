export * as Paradigm from "./Paradigm.ts"
export * from "@paradigm-effect/core"
