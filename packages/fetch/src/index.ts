export * from "@paradigm-effect/core"
export * as Paradigm from "./Paradigm.ts"
